#include "client/mqctl/talk.hpp"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

constexpr auto progress_delay = std::chrono::seconds(1);
constexpr auto progress_interval = std::chrono::milliseconds(200);

// One write for a line, so that lines of several programs on one terminal stay whole.
void say(std::string_view text) {
    std::string line("mqctl: ");
    line += text;
    line += '\n';
    (void)std::fwrite(line.data(), 1, line.size(), stderr);
    (void)std::fflush(stderr);
}

}  // namespace

void Talk::note(std::string_view text) const {
    if (!quiet_) {
        say(text);
    }
}

void Talk::detail(std::string_view text) const {
    if (verbose_ && !quiet_) {
        say(text);
    }
}

void Talk::complain(std::string_view text) const {
    say(text);
}

Progress::Progress(const Talk& talk, std::string_view verb, int data)
    : verb_(verb),
      enabled_(!talk.quiet() && is_terminal(STDERR_FILENO) && !is_terminal(data)),
      started_(Clock::now()),
      next_(started_ + progress_delay) {}

void Progress::show(std::uint64_t messages, std::uint64_t bytes) {
    if (due()) {
        write(format_messages(messages) + ", " + format_bytes(bytes) + ' ' + std::string(verb_) +
              ", " + format_rate(messages, Clock::now() - started_));
    }
}

void Progress::show_bytes(std::uint64_t bytes, std::uint64_t all) {
    if (due()) {
        write(format_bytes(bytes) + (all == 0 ? "" : " of " + format_bytes(all)) + ' ' +
              std::string(verb_));
    }
}

bool Progress::due() {
    const auto now = enabled_ ? Clock::now() : Clock::time_point::min();
    if (!enabled_ || now < next_) {
        return false;
    }
    next_ = now + progress_interval;
    return true;
}

void Progress::write(const std::string& amount) {
    shown_ = true;
    const std::string line = "\r\033[Kmqctl: " + amount;
    (void)std::fwrite(line.data(), 1, line.size(), stderr);
    (void)std::fflush(stderr);
}

void Progress::clear() {
    if (shown_) {
        (void)std::fputs("\r\033[K", stderr);
        (void)std::fflush(stderr);
        shown_ = false;
    }
}

bool is_terminal(int descriptor) {
    return ::isatty(descriptor) == 1;
}

std::string emphasized(std::string_view text, int descriptor) {
    const char* const no_color = std::getenv("NO_COLOR");
    const bool plain = !is_terminal(descriptor) || (no_color != nullptr && *no_color != '\0');
    return plain ? std::string(text) : "\033[1m" + std::string(text) + "\033[0m";
}

bool ask(std::string_view question) {
    (void)std::fprintf(stderr, "mqctl: %.*s [y/N] ", static_cast<int>(question.size()),
                       question.data());
    (void)std::fflush(stderr);
    std::array<char, 64> answer{};
    if (std::fgets(answer.data(), static_cast<int>(answer.size()), stdin) == nullptr) {
        return false;
    }
    const std::string_view text(answer.data());
    return text == "y\n" || text == "Y\n" || text == "yes\n" || text == "Yes\n";
}

std::string format_rate(std::uint64_t count, std::chrono::steady_clock::duration time) {
    const double seconds = std::chrono::duration<double>(time).count();
    if (seconds <= 0) {
        return {};
    }
    const double rate = static_cast<double>(count) / seconds;
    return format_count(static_cast<std::uint64_t>(rate)) + "/s";
}

std::string format_elapsed(std::chrono::steady_clock::duration time) {
    std::array<char, 32> text{};
    const int size = std::snprintf(text.data(), text.size(), "%.2f s",
                                   std::chrono::duration<double>(time).count());
    return {text.data(), static_cast<std::size_t>(size)};
}

}  // namespace mqd::mqctl
