#pragma once

// What mqctl says to people, on standard error. Data goes to standard output (output_stream.hpp).

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mqd::mqctl {

// "mqctl: " and one line. A note is left out with -q; a complaint never is.
class Talk {
  public:
    explicit Talk(bool quiet = false, bool verbose = false) : quiet_(quiet), verbose_(verbose) {}

    void note(std::string_view text) const;
    void detail(std::string_view text) const;  // only with -v
    void complain(std::string_view text) const;
    [[nodiscard]] bool quiet() const { return quiet_; }

  private:
    bool quiet_;
    bool verbose_;
};

// A line on the terminal that is rewritten while long work runs; nothing anywhere else, nothing
// with -q, nothing during the first second, and nothing when the data go to a terminal, which is
// the same one: they would be mixed into each other.
class Progress {
  public:
    using Clock = std::chrono::steady_clock;

    // `verb`: "confirmed". `data`: where the data go; -1 if nowhere.
    Progress(const Talk& talk, std::string_view verb, int data);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress() { clear(); }

    // May be called often.
    void show(std::uint64_t messages, std::uint64_t bytes);
    // Where there are no messages to count. `all`: of how many; 0: not known yet.
    void show_bytes(std::uint64_t bytes, std::uint64_t all);
    // When it wants to be shown again; nothing where it is not shown at all.
    [[nodiscard]] std::optional<Clock::time_point> next() const {
        return enabled_ ? std::optional(next_) : std::nullopt;
    }
    // Takes the line away again.
    void clear();

  private:
    [[nodiscard]] bool due();
    void write(const std::string& amount);

    std::string_view verb_;
    bool enabled_;
    bool shown_ = false;
    Clock::time_point started_;
    Clock::time_point next_;
};

[[nodiscard]] bool is_terminal(int descriptor);

// Bold on a terminal, unless NO_COLOR is set; else as it is.
[[nodiscard]] std::string emphasized(std::string_view text, int descriptor);

// Asks on the terminal; only "y" and "yes" mean yes.
[[nodiscard]] bool ask(std::string_view question);

// "238,095/s"; nothing for a time too short to divide by.
[[nodiscard]] std::string format_rate(std::uint64_t count,
                                      std::chrono::steady_clock::duration time);
// "0.42 s"
[[nodiscard]] std::string format_elapsed(std::chrono::steady_clock::duration time);

}  // namespace mqd::mqctl
