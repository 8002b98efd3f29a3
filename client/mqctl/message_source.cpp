#include "client/mqctl/message_source.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "client/mqctl/message_json.hpp"
#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

constexpr std::size_t block_bytes = 512 * 1024;
// A line of JSON is longer than its body: escapes, base64, headers.
constexpr std::size_t json_factor = 6;
constexpr std::size_t json_headers_bytes_max = 1024 * 1024;

Error read_error(const std::string& what) {
    const int reason = errno;
    return {ErrorCode::io_error,
            "cannot read " + what + ": " + std::generic_category().message(reason), 0, 0, reason};
}

Error body_too_big(const std::string& what, std::size_t limit) {
    return {ErrorCode::message_too_big, what + " is too big for one message", limit, 0, 0};
}

// Like read(2), but taken up again after a signal.
ssize_t read_once(int descriptor, char* to, std::size_t size) {
    ssize_t got = 0;
    do {
        got = ::read(descriptor, to, size);
    } while (got < 0 && errno == EINTR);
    return got;
}

}  // namespace

std::unique_ptr<MessageSource> open_message_source(const PublishOptions& options,
                                                   std::size_t body_bytes_max) {
    const bool ttl_given = options.message.ttl.count() != 0;
    const auto input = [&](InputSource::Cut cut, char delimiter) {
        auto source = std::make_unique<InputSource>(STDIN_FILENO, cut, delimiter, body_bytes_max);
        source->ttl_given(ttl_given);
        return source;
    };
    switch (options.source) {
        case Source::argument: return std::make_unique<ArgumentSource>(options.argument);
        case Source::whole_input: return input(InputSource::Cut::whole, '\0');
        case Source::lines: return input(InputSource::Cut::delimiter, '\n');
        case Source::null_delimited: return input(InputSource::Cut::delimiter, '\0');
        case Source::json_lines:
            if (options.files.empty()) {
                return input(InputSource::Cut::json_lines, '\n');
            }
            return std::make_unique<FileSource>(options.files, body_bytes_max,
                                                InputSource::Cut::json_lines, ttl_given);
        case Source::files: break;
    }
    return std::make_unique<FileSource>(options.files, body_bytes_max);
}

Result<NextMessage> ArgumentSource::next(Message& message) {
    if (taken_) {
        return NextMessage::end;
    }
    taken_ = true;
    message.body = body_;
    return NextMessage::ready;
}

InputSource::InputSource(int descriptor, Cut cut, char delimiter, std::size_t body_bytes_max,
                         std::string name)
    : descriptor_(descriptor),
      name_(std::move(name)),
      cut_(cut),
      delimiter_(delimiter),
      piece_bytes_max_(cut == Cut::json_lines
                           ? body_bytes_max * json_factor + json_headers_bytes_max
                           : body_bytes_max),
      buffer_(std::min(block_bytes, piece_bytes_max_ + 1)) {}

Result<void> InputSource::fill() {
    if (begin_ > 0) {
        std::memmove(buffer_.data(), buffer_.data() + begin_, filled_ - begin_);
        filled_ -= begin_;
        scanned_ -= begin_;
        begin_ = 0;
    }
    if (filled_ == buffer_.size()) {
        // Room for the longest piece and its delimiter; next() refuses a longer one.
        buffer_.resize(std::min(buffer_.size() * 2, piece_bytes_max_ + 1));
    }
    const ssize_t got = read_once(descriptor_, buffer_.data() + filled_, buffer_.size() - filled_);
    if (got < 0) {
        return errno == EAGAIN ? Result<void>() : read_error(input_name());
    }
    filled_ += static_cast<std::size_t>(got);
    end_ = got == 0;
    return {};
}

Result<NextMessage> InputSource::next(Message& message) {
    switch (cut_) {
        case Cut::whole: return cut_whole(message);
        case Cut::delimiter: return cut_delimited(message.body);
        case Cut::json_lines: break;
    }
    return cut_json(message);
}

Result<NextMessage> InputSource::cut_whole(Message& message) {
    if (unread().size() > piece_bytes_max_) {
        return too_big();
    }
    if (!end_) {
        return NextMessage::starved;
    }
    if (whole_taken_) {
        return NextMessage::end;
    }
    whole_taken_ = true;
    message.body = unread();
    return NextMessage::ready;
}

Result<NextMessage> InputSource::cut_delimited(std::string_view& piece) {
    const void* const found = filled_ == scanned_ ? nullptr
                                                  : std::memchr(buffer_.data() + scanned_,
                                                                delimiter_, filled_ - scanned_);
    if (found == nullptr) {
        scanned_ = filled_;
        if (unread().size() > piece_bytes_max_) {
            return too_big();
        }
        if (!end_ || unread().empty()) {
            return end_ ? NextMessage::end : NextMessage::starved;
        }
        piece = unread();
        begin_ = filled_;
    } else {
        const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data());
        piece = {buffer_.data() + begin_, at - begin_};
        begin_ = scanned_ = at + 1;
        if (piece.size() > piece_bytes_max_) {
            return too_big();
        }
    }
    ++lines_;
    return NextMessage::ready;
}

Result<NextMessage> InputSource::cut_json(Message& message) {
    std::string_view line;
    do {
        auto cut = cut_delimited(line);
        if (!cut || *cut != NextMessage::ready) {
            return cut;
        }
    } while (line.find_first_not_of(" \t\r") == std::string_view::npos);
    auto parsed = parse_json_line(line);
    if (!parsed) {
        return Error{ErrorCode::bad_option, place(lines_) + ": " + parsed.error().text};
    }
    if (parsed->expires && ttl_given_) {
        return Error{ErrorCode::bad_option,
                     place(lines_) + ": \"expires\" contradicts --ttl; give one of them"};
    }
    body_ = std::move(parsed->body);
    headers_ = std::move(parsed->headers);
    header_views_.clear();
    for (const auto& [key, value] : headers_) {
        header_views_.push_back({key, value});
    }
    message.body = body_;
    message.headers = header_views_;
    group_ = std::move(parsed->group);
    message.options = parsed->options;
    message.options.group = group_;
    dedup_id_ = std::move(parsed->dedup_id);
    message.options.dedup_id = dedup_id_;
    return NextMessage::ready;
}

std::string InputSource::place(std::uint64_t line) const {
    if (cut_ == Cut::whole) {
        return input_name();
    }
    return (name_.empty() ? "line " : name_ + ": line ") + std::to_string(line);
}

Error InputSource::too_big() const {
    return body_too_big(place(lines_ + 1), piece_bytes_max_);
}

Result<NextMessage> FileSource::next(Message& message) {
    while (index_ < paths_.size()) {
        if (file_ < 0) {
            if (auto opened = open_file(); !opened) {
                return opened.error();
            }
        }
        if (!stream_) {
            auto read = read_file();
            close_file();
            if (!read) {
                return read.error();
            }
            ++index_;
            message.body = body_;
            return NextMessage::ready;
        }
        auto next = stream_->next(message);
        if (!next || *next != NextMessage::end) {
            return next;
        }
        close_file();
        ++index_;
    }
    return NextMessage::end;
}

Result<void> FileSource::fill() {
    return stream_ ? stream_->fill() : Result<void>();
}

Result<void> FileSource::open_file() {
    const std::string& path = paths_[index_];
    where_ = path;
    // Not blocking: a pipe that nobody writes to yet is waited for in the poll loop, not here.
    file_ = path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                        : ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat facts {};
    if (file_ < 0 || ::fstat(file_, &facts) != 0) {
        return read_error(path);
    }
    if (!S_ISREG(facts.st_mode) || cut_ != Cut::whole) {
        stream_.emplace(file_, cut_, '\n', body_bytes_max_, path);
        stream_->ttl_given(ttl_given_);
    }
    return {};
}

Result<void> FileSource::read_file() {
    const std::string& path = paths_[index_];
    body_.clear();
    std::size_t filled = 0;
    ssize_t got = 0;
    do {
        body_.resize(std::min(filled + block_bytes, body_bytes_max_ + 1));
        got = read_once(file_, body_.data() + filled, body_.size() - filled);
        filled += got > 0 ? static_cast<std::size_t>(got) : 0;
    } while (got > 0 && filled <= body_bytes_max_);
    body_.resize(filled);
    if (got < 0) {
        return read_error(path);
    }
    return filled > body_bytes_max_ ? body_too_big(path, body_bytes_max_) : Result<void>();
}

void FileSource::close_file() {
    stream_.reset();
    if (file_ >= 0) {
        (void)::close(file_);
        file_ = -1;
    }
}

}  // namespace mqd::mqctl
