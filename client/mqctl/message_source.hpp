#pragma once

// Where `publish` and `import` get their messages from: an argument, files, or standard input,
// which comes when it comes.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/mqctl/options.hpp"
#include "mqd/client.hpp"
#include "mqd/result.hpp"

namespace mqd::mqctl {

enum class NextMessage {
    ready,    // one was handed out
    starved,  // none until descriptor() is readable and fill() was called
    end,      // none any more
};

class MessageSource {
  public:
    virtual ~MessageSource() = default;

    // The next message, valid until the next call of fill() or next(). Error: input that cannot be
    // read or is no message; after that, nothing may be called.
    [[nodiscard]] virtual Result<NextMessage> next(Message& message) = 0;

    // Reads once; does not block when descriptor() is readable.
    [[nodiscard]] virtual Result<void> fill() { return {}; }
    [[nodiscard]] virtual int descriptor() const { return -1; }
    // Where the last message stood, for errors: "line 7"; empty if there is only one.
    [[nodiscard]] virtual std::string where() const { return {}; }
};

// The source that the options ask for. No body is longer than `body_bytes_max`: a longer one is
// message_too_big.
[[nodiscard]] std::unique_ptr<MessageSource> open_message_source(const PublishOptions& options,
                                                                 std::size_t body_bytes_max);

// One message, given.
class ArgumentSource final : public MessageSource {
  public:
    explicit ArgumentSource(std::string body) : body_(std::move(body)) {}
    [[nodiscard]] Result<NextMessage> next(Message& message) override;

  private:
    std::string body_;
    bool taken_ = false;
};

// Input from a descriptor, in big blocks, cut into messages in place: as a whole, at each
// delimiter, or as lines of JSON. What follows the last delimiter is a message too, unless it is
// nothing.
class InputSource final : public MessageSource {
  public:
    enum class Cut { whole, delimiter, json_lines };

    // `name`: of the input, for errors; empty: standard input.
    InputSource(int descriptor, Cut cut, char delimiter, std::size_t body_bytes_max,
                std::string name = {});
    // Whether all messages have a TTL: one that says when it expires contradicts it.
    void ttl_given(bool given) { ttl_given_ = given; }
    [[nodiscard]] Result<NextMessage> next(Message& message) override;
    [[nodiscard]] Result<void> fill() override;
    [[nodiscard]] int descriptor() const override { return end_ ? -1 : descriptor_; }
    [[nodiscard]] std::string where() const override { return place(lines_); }

  private:
    [[nodiscard]] Result<NextMessage> cut_whole(Message& message);
    [[nodiscard]] Result<NextMessage> cut_delimited(std::string_view& piece);
    [[nodiscard]] Result<NextMessage> cut_json(Message& message);
    [[nodiscard]] std::string_view unread() const {
        return {buffer_.data() + begin_, filled_ - begin_};
    }
    [[nodiscard]] std::string input_name() const {
        return name_.empty() ? "standard input" : name_;
    }
    // Where a piece stands: "line 7", "file: line 7"; of the whole, the name.
    [[nodiscard]] std::string place(std::uint64_t line) const;
    [[nodiscard]] Error too_big() const;

    int descriptor_;
    std::string name_;
    Cut cut_;
    char delimiter_;
    std::size_t piece_bytes_max_;
    std::vector<char> buffer_;
    std::size_t begin_ = 0;    // of what is not yet cut
    std::size_t scanned_ = 0;  // no delimiter from begin_ to here
    std::size_t filled_ = 0;
    std::uint64_t lines_ = 0;  // cut so far
    bool end_ = false;
    bool whole_taken_ = false;
    bool ttl_given_ = false;
    // Of the JSON line that was handed out last.
    std::string body_;
    std::vector<std::pair<std::string, std::string>> headers_;
    std::string group_;  // likewise, of a line of JSON
    std::string dedup_id_;
    std::vector<Header> header_views_;
};

// A message for each file, or for each line of JSON in it; "-" is standard input. A file that is
// one message is read at once; what else there is (lines, a pipe, a terminal) comes when it comes,
// and is waited for like standard input.
class FileSource final : public MessageSource {
  public:
    using Cut = InputSource::Cut;

    // `cut`: whole or json_lines.
    FileSource(std::vector<std::string> paths, std::size_t body_bytes_max, Cut cut = Cut::whole,
               bool ttl_given = false)
        : paths_(std::move(paths)),
          body_bytes_max_(body_bytes_max),
          cut_(cut),
          ttl_given_(ttl_given) {}
    FileSource(const FileSource&) = delete;
    FileSource& operator=(const FileSource&) = delete;
    ~FileSource() override { close_file(); }

    [[nodiscard]] Result<NextMessage> next(Message& message) override;
    [[nodiscard]] Result<void> fill() override;
    [[nodiscard]] int descriptor() const override { return stream_ ? stream_->descriptor() : -1; }
    [[nodiscard]] std::string where() const override { return stream_ ? stream_->where() : where_; }

  private:
    [[nodiscard]] Result<void> open_file();
    [[nodiscard]] Result<void> read_file();
    void close_file();

    std::vector<std::string> paths_;
    std::size_t body_bytes_max_;
    Cut cut_;
    bool ttl_given_;
    std::size_t index_ = 0;
    int file_ = -1;                      // of paths_[index_]; -1: not open
    std::optional<InputSource> stream_;  // over file_, unless that is one message, there to be read
    std::string where_;
    std::string body_;
};

}  // namespace mqd::mqctl
