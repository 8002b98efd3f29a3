// What can be said together, command by command.

#include <string_view>

#include "client/mqctl/command_row.hpp"
#include "client/mqctl/help_formatter.hpp"
#include "client/mqctl/message_format.hpp"
#include "client/mqctl/not_built.hpp"
#include "client/mqctl/option_value.hpp"
#include "client/mqctl/parser.hpp"
#include "client/mqctl/units.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::mqctl {
namespace {

// A little less than what a NACK can say, to have a round number.
constexpr std::chrono::milliseconds nack_delay_max = std::chrono::hours(24 * 49);

}  // namespace

void Parser::check_publish(const std::vector<std::string>& operands) {
    PublishOptions& publish = line_.publish;
    std::size_t sources = 0;
    const auto take = [&](bool wanted, Source source) {
        if (wanted) {
            publish.source = source;
            ++sources;
        }
    };
    take(operands.size() > 1, Source::argument);
    take(given(lines_), Source::lines);
    take(given(null_), Source::null_delimited);
    take(given(jsonl_), Source::json_lines);
    take(given(file_), Source::files);
    if (sources > 1) {
        throw Mistake{"a message argument, --lines, --null, --jsonl and -f exclude each other"};
    }
    if (publish.source == Source::argument) {
        publish.argument = operands[1];
    }
    std::size_t bytes = 0;
    for (const std::string& header : headers_) {
        const std::size_t colon = header.find(':');
        if (colon == 0 || colon == std::string::npos || colon > UINT8_MAX) {
            throw Mistake{"-H \"" + header + "\" is not key:value (with 1 to 255 bytes of key)"};
        }
        publish.headers.emplace_back(header.substr(0, colon), header.substr(colon + 1));
        bytes += header.size() + wire::attribute_header_bytes;
    }
    if (bytes > wire::attributes_bytes_max) {
        throw Mistake{"the headers are too long: together they have at most " +
                      std::to_string(wire::attributes_bytes_max) + " bytes"};
    }
    publish.message = message_options(delay_, due_, priority_, ttl_);
    const bool keyless = group_ != nullptr && group_->count() > 0 && publish.group.empty();
    if (keyless || publish.group.size() > wire::group_bytes_max) {
        throw Mistake{"--group: a key has 1 to 128 bytes"};
    }
    check_id();
    publish.durability = durability(publish_durability_, Durability::unspecified);
    check_producer();
}

// One id is of one message; what has lines says its own.
void Parser::check_id() {
    if (id_ == nullptr || id_->count() == 0) {
        return;
    }
    const PublishOptions& publish = line_.publish;
    if (publish.dedup_id.empty() || publish.dedup_id.size() > wire::dedup_id_bytes_max) {
        throw Mistake{"--id: an id has 1 to 128 bytes"};
    }
    const bool one = publish.source == Source::whole_input || publish.source == Source::argument ||
                     (publish.source == Source::files && publish.files.size() == 1);
    if (!one) {
        throw Mistake{"--id is of one message; lines of JSON have a \"dedup_id\" each"};
    }
}

// What is taken is told by how many: of a stream, they are its first ones.
void Parser::check_producer() {
    if (!given(producer_)) {
        return;
    }
    PublishOptions& publish = line_.publish;
    publish.producer = producer_->as<std::string>();
    if (publish.producer.empty() || publish.producer.size() > wire::producer_name_bytes_max) {
        throw Mistake{"--producer: a name has 1 to 128 bytes"};
    }
    if (publish.source != Source::lines && publish.source != Source::null_delimited &&
        publish.source != Source::json_lines) {
        throw Mistake{"--producer goes with --lines, --null or --jsonl"};
    }
}

void Parser::check_consume() {
    ConsumeOptions& consume = line_.consume;
    if ((given(follow_) ? 1 : 0) + (given(drain_) ? 1 : 0) + (given(wait_) ? 1 : 0) > 1) {
        throw Mistake{"--follow, --drain and --wait exclude each other"};
    }
    if (given(count_)) {
        consume.count = number(count_, 1);
    } else if (!consume.follow && !consume.drain) {
        consume.count = 1;
    }
    if (given(wait_)) {
        consume.wait = duration(wait_, {});
    }
    if (!exec_ && (given(jobs_) || given(grace_) || given(retry_delay_) || given(max_run_time_))) {
        throw Mistake{"-j, --grace, --max-run-time and --retry-delay belong to --exec"};
    }
    if (exec_ && !line_.global.output.empty()) {
        throw Mistake{"-o has no meaning with --exec: the command writes for itself"};
    }
    if (given(exclusive_) && given(single_)) {
        throw Mistake{"--exclusive and --single exclude each other"};
    }
    consume.sharing = given(exclusive_) ? Sharing::exclusive
                      : given(single_)  ? Sharing::single_active
                                        : Sharing::shared;
    // A run with an end opens further consumers, to get past what failed (execute.cpp).
    if (exec_ && consume.sharing != Sharing::shared && (!consume.follow || consume.count)) {
        throw Mistake{"--exclusive and --single go with --exec only if --follow does, without -n"};
    }
    constexpr unsigned jobs_max = 1000;
    const std::uint64_t jobs = number(jobs_, consume.jobs);
    if (jobs > jobs_max) {
        throw Mistake{"-j: at most " + std::to_string(jobs_max) + " commands at once"};
    }
    consume.jobs = static_cast<unsigned>(jobs);
    consume.lease = duration(lease_, consume.lease);
    consume.grace = duration(grace_, consume.grace);
    consume.max_run_time = duration(max_run_time_, consume.max_run_time);
    if (given(retry_delay_)) {
        consume.retry_delay = duration(retry_delay_, {});
        if (consume.retry_delay > nack_delay_max) {
            throw Mistake{"--retry-delay: at most 49d"};
        }
    }
}

void Parser::check_export() {
    line_.export_messages.file = file(export_file_);
    if (line_.export_messages.force && line_.export_messages.file.empty()) {
        throw Mistake{"--force belongs to -f FILE"};
    }
    if (!line_.global.output.empty() && line_.global.output != "json") {
        throw Mistake{"export writes lines of JSON only (peek has other outputs)"};
    }
}

void Parser::check_import() {
    PublishOptions& publish = line_.publish;
    publish.source = Source::json_lines;
    if (std::string path = file(import_file_); !path.empty()) {
        publish.files.push_back(std::move(path));
    }
    publish.durability = durability(import_durability_, Durability::unspecified);
    publish.ids = false;
}

// What is not named stays as it is, unless nothing is.
void Parser::read_paused(bool paused) {
    if (publishing_ || !consuming_) {
        line_.queue_options.publishing_paused = paused;
    }
    if (consuming_ || !publishing_) {
        line_.queue_options.consuming_paused = paused;
    }
}

void Parser::check_output() const {
    const std::string& output = line_.global.output;
    const bool messages = line_.command == Command::consume || line_.command == Command::peek;
    if (output.empty() || output == "text" || output == "json") {
        return;
    }
    if (!messages) {
        throw Mistake{std::string(row_of(line_.command).name) + " has -o text and -o json only"};
    }
    if (const auto format = MessageFormat::parse(output); !format) {
        throw Mistake{"-o: " + format.error().text};
    }
}

}  // namespace mqd::mqctl
