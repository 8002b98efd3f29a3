#include "client/mqctl/message_source.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <thread>

namespace mqd::mqctl {
namespace {

class Pipe {
  public:
    Pipe() {
        std::array<int, 2> ends{};
        REQUIRE(::pipe(ends.data()) == 0);
        read_ = ends[0];
        write_ = ends[1];
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        finish();
        (void)::close(read_);
    }
    void write(std::string_view text) const {
        REQUIRE(::write(write_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }
    void finish() {
        if (write_ >= 0) {
            (void)::close(write_);
            write_ = -1;
        }
    }
    [[nodiscard]] int read_end() const { return read_; }

  private:
    int read_ = -1;
    int write_ = -1;
};

constexpr std::size_t body_bytes_max = 1000;

NextMessage next(MessageSource& source, Message& message) {
    const auto result = source.next(message);
    REQUIRE(result);
    return *result;
}

// All messages of a source whose input has ended.
std::vector<std::string> drain(MessageSource& source) {
    std::vector<std::string> bodies;
    Message message;
    while (true) {
        switch (next(source, message)) {
            case NextMessage::ready: bodies.emplace_back(message.body); break;
            case NextMessage::starved: REQUIRE(source.fill()); break;
            case NextMessage::end: return bodies;
        }
    }
}

using Bodies = std::vector<std::string>;

Bodies cut(std::string_view text, InputSource::Cut how, char delimiter) {
    Pipe pipe;
    std::thread writer([&] {
        pipe.write(text);
        pipe.finish();
    });
    InputSource source(pipe.read_end(), how, delimiter, body_bytes_max);
    Bodies bodies = drain(source);
    writer.join();
    return bodies;
}

Bodies lines(std::string_view text) {
    return cut(text, InputSource::Cut::delimiter, '\n');
}

TEST_CASE("message source: each line is a message, the last with or without its newline") {
    CHECK(lines("").empty());
    CHECK(lines("a\nb\n") == Bodies{"a", "b"});
    CHECK(lines("a\nb") == Bodies{"a", "b"});
    CHECK(lines("\n") == Bodies{""});
    CHECK(lines("a\n\n\nb\n") == Bodies{"a", "", "", "b"});
    CHECK(lines("a\r\n") == Bodies{"a\r"});
}

TEST_CASE("message source: NUL-delimited pieces keep their newlines") {
    CHECK(cut(std::string_view("a\nb\0\0c", 6), InputSource::Cut::delimiter, '\0') ==
          Bodies{"a\nb", "", "c"});
}

TEST_CASE("message source: the whole input is one message, byte for byte") {
    CHECK(cut("a\nb\n", InputSource::Cut::whole, '\0') == Bodies{"a\nb\n"});
    CHECK(cut("", InputSource::Cut::whole, '\0') == Bodies{""});
}

TEST_CASE("message source: many lines over many blocks") {
    std::string text;
    Bodies expected;
    for (unsigned i = 0; i < 300'000; ++i) {
        expected.push_back(std::to_string(i * 7919) + std::string(i % 13, 'x'));
        text += expected.back() + '\n';
    }
    CHECK(lines(text) == expected);
}

TEST_CASE("message source: a line of the limit is taken, one byte more is refused") {
    const std::string longest(body_bytes_max, 'x');
    CHECK(lines(longest + '\n' + longest) == Bodies{longest, longest});

    for (const char* const end : {"\n", "", "xxxxxxxxx\n"}) {
        Pipe pipe;
        pipe.write("ok\n" + longest + 'x' + end);
        pipe.finish();
        InputSource source(pipe.read_end(), InputSource::Cut::delimiter, '\n', body_bytes_max);
        Message message;
        CHECK(next(source, message) == NextMessage::starved);
        REQUIRE(source.fill());
        CHECK(next(source, message) == NextMessage::ready);
        auto result = source.next(message);
        while (result && *result == NextMessage::starved) {
            REQUIRE(source.fill());
            result = source.next(message);
        }
        REQUIRE_FALSE(result);
        CHECK(result.error().code == ErrorCode::message_too_big);
        CHECK(result.error().limit == body_bytes_max);
        CHECK(result.error().text.find("line 2") != std::string::npos);
    }
}

TEST_CASE("message source: an input beyond the limit is no message") {
    Pipe pipe;
    pipe.write(std::string(body_bytes_max + 1, 'x'));
    InputSource source(pipe.read_end(), InputSource::Cut::whole, '\0', body_bytes_max);
    REQUIRE(source.fill());
    Message message;
    const auto result = source.next(message);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == ErrorCode::message_too_big);
}

TEST_CASE("message source: what is there is handed out before more comes") {
    Pipe pipe;
    InputSource source(pipe.read_end(), InputSource::Cut::delimiter, '\n', body_bytes_max);
    Message message;
    CHECK(next(source, message) == NextMessage::starved);
    CHECK(source.descriptor() == pipe.read_end());
    pipe.write("one\ntw");
    REQUIRE(source.fill());
    CHECK(next(source, message) == NextMessage::ready);
    CHECK(message.body == "one");
    CHECK(next(source, message) == NextMessage::starved);
    pipe.write("o\n");
    REQUIRE(source.fill());
    CHECK(next(source, message) == NextMessage::ready);
    CHECK(message.body == "two");
    pipe.finish();
    REQUIRE(source.fill());
    CHECK(next(source, message) == NextMessage::end);
    CHECK(source.descriptor() == -1);
}

TEST_CASE("message source: lines of JSON, of which blank ones are passed over") {
    Pipe pipe;
    pipe.write("{\"body\":\"a\",\"headers\":{\"k\":\"v\"}}\n \n{\"body_b64\":\"/w==\"}\nnone\n");
    pipe.finish();
    InputSource source(pipe.read_end(), InputSource::Cut::json_lines, '\n', body_bytes_max);
    REQUIRE(source.fill());
    Message message;
    REQUIRE(next(source, message) == NextMessage::ready);
    CHECK(message.body == "a");
    REQUIRE_FALSE(message.headers.empty());
    CHECK(message.headers.begin()->key == "k");
    CHECK(message.headers.begin()->value == "v");
    REQUIRE(next(source, message) == NextMessage::ready);
    CHECK(message.body == "\xFF");
    CHECK(message.headers.empty());
    const auto result = source.next(message);
    REQUIRE_FALSE(result);
    CHECK(result.error().text.find("line 4") != std::string::npos);
}

TEST_CASE("message source: a message for each line of JSON in a file, which an error names") {
    std::string path = "/tmp/mqctl_source_XXXXXX";
    const int file = ::mkstemp(path.data());
    REQUIRE(file >= 0);
    const std::string_view text = "{\"body\":\"a\"}\n\n{\"body_b64\":\"/w==\"}\nnone\n";
    REQUIRE(::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    FileSource source({path}, body_bytes_max, InputSource::Cut::json_lines);
    Message message;
    REQUIRE(next(source, message) == NextMessage::starved);
    REQUIRE(source.fill());
    REQUIRE(next(source, message) == NextMessage::ready);
    CHECK(message.body == "a");
    CHECK(source.where() == path + ": line 1");
    REQUIRE(next(source, message) == NextMessage::ready);
    CHECK(message.body == "\xFF");
    CHECK(source.where() == path + ": line 3");
    const auto bad = source.next(message);
    REQUIRE_FALSE(bad);
    CHECK(bad.error().text.starts_with(path + ": line 4: "));
    REQUIRE(::ftruncate(file, 0) == 0);
    FileSource empty({path}, body_bytes_max, InputSource::Cut::json_lines);
    CHECK(drain(empty).empty());
    (void)::close(file);
    (void)::unlink(path.c_str());
}

TEST_CASE("message source: a message for each file") {
    std::string path = "/tmp/mqctl_source_XXXXXX";
    const int file = ::mkstemp(path.data());
    REQUIRE(file >= 0);
    REQUIRE(::write(file, "a\0b\n", 4) == 4);
    FileSource source({path, path}, 4);
    CHECK(drain(source) == Bodies{std::string("a\0b\n", 4), std::string("a\0b\n", 4)});

    FileSource too_big({path}, 3);
    Message message;
    const auto refused = too_big.next(message);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::message_too_big);
    CHECK(refused.error().limit == 3);
    (void)::close(file);
    (void)::unlink(path.c_str());

    FileSource missing({path}, 10);
    const auto failed = missing.next(message);
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == ErrorCode::io_error);
    CHECK(failed.error().text.find(path) != std::string::npos);
}

TEST_CASE("message source: a file that is a pipe is waited for, not read at once") {
    std::string folder = "/tmp/mqctl_source_XXXXXX";
    REQUIRE(::mkdtemp(folder.data()) != nullptr);
    const std::string path = folder + "/pipe";
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    FileSource source({path, path}, 4);
    Message message;
    CHECK(next(source, message) == NextMessage::starved);
    pollfd watched{source.descriptor(), POLLIN, 0};
    CHECK(::poll(&watched, 1, 0) == 0);  // nobody writes to it yet: that is not its end
    const int writer = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    REQUIRE(writer >= 0);
    REQUIRE(source.fill());  // nothing there
    CHECK(next(source, message) == NextMessage::starved);
    REQUIRE(::write(writer, "body", 4) == 4);
    (void)::close(writer);
    REQUIRE(::poll(&watched, 1, 0) == 1);
    REQUIRE(source.fill());
    REQUIRE(source.fill());  // the end
    REQUIRE(next(source, message) == NextMessage::ready);
    CHECK(message.body == "body");
    CHECK(next(source, message) == NextMessage::starved);  // the next file
    (void)::unlink(path.c_str());
    (void)::rmdir(folder.c_str());

    FileSource folder_source({"/"}, 4);
    REQUIRE(next(folder_source, message) == NextMessage::starved);
    const auto failed = folder_source.fill();
    REQUIRE_FALSE(failed);
    CHECK(failed.error().text.find("cannot read /:") != std::string::npos);
}

TEST_CASE("message source: an argument is one message") {
    ArgumentSource source("hello");
    CHECK(drain(source) == Bodies{"hello"});
}

}  // namespace
}  // namespace mqd::mqctl
