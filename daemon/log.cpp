#include "daemon/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <charconv>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "mqd/assert.hpp"

namespace mqd {
namespace {

constexpr std::size_t printable_bytes_max = 200;

spdlog::level::level_enum to_spdlog(LogLevel level) {
    switch (level) {
        case LogLevel::trace: return spdlog::level::trace;
        case LogLevel::debug: return spdlog::level::debug;
        case LogLevel::info: return spdlog::level::info;
        case LogLevel::warn: return spdlog::level::warn;
        case LogLevel::error: return spdlog::level::err;
    }
    MQD_ASSERT(false, level);
    return spdlog::level::info;
}

// The priority of sd-daemon(3) for a level: what the journal reads off the front of a line.
class PriorityFlag : public spdlog::custom_flag_formatter {
  public:
    void format(const spdlog::details::log_msg& message, const std::tm&,
                spdlog::memory_buf_t& to) override {
        const std::string_view text = prefix(message.level);
        to.append(text.data(), text.data() + text.size());
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<PriorityFlag>();
    }

  private:
    static std::string_view prefix(spdlog::level::level_enum level) {
        switch (level) {
            case spdlog::level::critical: return "<2>";
            case spdlog::level::err: return "<3>";
            case spdlog::level::warn: return "<4>";
            case spdlog::level::info: return "<6>";
            case spdlog::level::debug:
            case spdlog::level::trace:
            case spdlog::level::off:
            case spdlog::level::n_levels: return "<7>";
        }
        return "<7>";
    }
};

}  // namespace

void set_up_log(LogLevel level) {
    auto logger =
        std::make_shared<spdlog::logger>("mqd", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    if (stderr_is_journal()) {
        formatter->add_flag<PriorityFlag>('*').set_pattern("%*%v");
    } else {
        formatter->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l: %v");
    }
    logger->set_formatter(std::move(formatter));
    logger->flush_on(spdlog::level::trace);
    spdlog::set_default_logger(std::move(logger));
    set_log_level(level);
}

void set_log_level(LogLevel level) {
    spdlog::set_level(to_spdlog(level));
}

bool stderr_is_journal() {
    const char* stream = std::getenv("JOURNAL_STREAM");
    if (stream == nullptr) {
        return false;
    }
    // A program started by a service inherits the variable, but not always the stderr: so compare.
    const std::string_view text(stream);
    const std::size_t colon = text.find(':');
    struct stat state = {};
    if (colon == std::string_view::npos || ::fstat(2, &state) != 0) {
        return false;
    }
    unsigned long long device = 0;
    unsigned long long inode = 0;
    const char* middle = text.data() + colon;
    const char* end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), middle, device);
    const auto second = std::from_chars(middle + 1, end, inode);
    return first.ec == std::errc{} && first.ptr == middle && second.ec == std::errc{} &&
           second.ptr == end && device == state.st_dev && inode == state.st_ino;
}

std::string printable(std::string_view text) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (const char c : text.substr(0, printable_bytes_max)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte >= 0x7F || byte == '"' || byte == '\\') {
            out += "\\x";
            out += digits[byte >> 4];
            out += digits[byte & 15];
        } else {
            out += c;
        }
    }
    return text.size() > printable_bytes_max ? out + "..." : out;
}

}  // namespace mqd
