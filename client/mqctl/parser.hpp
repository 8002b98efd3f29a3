#pragma once

// The parser behind parse_command_line(): what there is to be said (parser_options.cpp), how it is
// read (options.cpp), and what goes together (parser_checks.cpp).

#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "client/mqctl/option_value.hpp"
#include "client/mqctl/options.hpp"

namespace mqd::mqctl {

class Parser {
  public:
    Parser();
    // Throws Mistake and CLI::Error.
    [[nodiscard]] CommandLine parse(const std::vector<std::string>& arguments);
    [[nodiscard]] std::string help() const { return app_.help(); }

  private:
    void add_global_options();
    void add_commands();
    void add_options_of(Command command, CLI::App& app);
    void refuse_commands_not_built(CLI::App& queue);
    void add_publish_options(CLI::App& app);
    void add_consume_options(CLI::App& app);
    void add_for_good(CLI::App& app);
    void add_peek_options(CLI::App& app);
    void add_move_options(CLI::App& app);
    void add_create_options(CLI::App& app);

    void refuse_not_built(const std::vector<std::string>& options) const;
    [[nodiscard]] Command chosen_command(std::vector<std::string>& rest) const;
    [[nodiscard]] Mistake no_command(const std::string& group,
                                     const std::vector<std::string>& rest) const;
    [[nodiscard]] Mistake unknown_option(const std::string& argument, const CLI::App& command,
                                         const std::string& else_hint) const;
    void take_operands(const std::vector<std::string>& operands);
    void take_file(const std::vector<std::string>& operands);
    void check_publish(const std::vector<std::string>& operands);
    void check_producer();
    void check_id();
    void check_consume();
    void check_export();
    void check_import();
    void read_paused(bool paused);
    void add_selection_options(CLI::App& app);
    void read_selection();
    void read_peek();
    void read_move();
    void check_output() const;

    CLI::App app_{"Talk to mqd, the message-queue daemon."};
    std::vector<std::pair<CLI::App*, Command>> commands_;
    std::vector<CLI::App*> refused_;
    CommandLine line_;
    std::vector<std::string> headers_;
    bool exec_ = false;
    bool publishing_ = false;
    bool consuming_ = false;
    // Options whose values are looked at once the parse is through.
    CLI::Option *version_{}, *timeout_{}, *lines_{}, *null_{}, *jsonl_{}, *file_{},
        *publish_durability_{}, *producer_{};
    CLI::Option *delay_{}, *due_{}, *priority_{}, *ttl_{}, *group_{}, *id_{}, *retry_delay_{};
    CLI::Option *count_{}, *wait_{}, *follow_{}, *drain_{}, *lease_{}, *jobs_{}, *grace_{},
        *max_run_time_{};
    CLI::Option *exclusive_{}, *single_{};
    CLI::Option *peek_count_{}, *from_{}, *memory_{}, *create_durability_{}, *priorities_{},
        *dead_count_{};
    // One set for each command that has them.
    struct SelectionValues {
        CLI::Option *older{}, *newer{};
    };
    std::vector<SelectionValues> selections_;
    std::vector<std::string> filters_, states_;
    CLI::Option *move_count_{}, *rate_{};
    QueueOptionValues create_options_, update_options_;
    CLI::Option *export_file_{}, *import_file_{}, *import_durability_{};
};

}  // namespace mqd::mqctl
