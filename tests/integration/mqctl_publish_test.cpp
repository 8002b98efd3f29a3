// mqctl publish against a real daemon: what it prints, when, and how it ends.

#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>

#include "integration/listening_peer.hpp"
#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

struct Fixture {
    DaemonProcess daemon{MQD_BIN};
    Mqctl mqctl{daemon.url()};

    explicit Fixture(const std::string& config = {}) : daemon(MQD_BIN, {.config = config}) {
        daemon.start();
        mqctl.must({"-q", "queue", "create", "orders"});
    }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

std::string ids(const std::string& prefix, int first, int last) {
    std::string text;
    for (int i = first; i <= last; ++i) {
        text += prefix + std::to_string(i) + '\n';
    }
    return text;
}

std::uint64_t lines_of(const std::string& text) {
    return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

// The number before `words` in a sentence: "1,000 messages are confirmed".
std::uint64_t number_before(const std::string& text, std::string_view words) {
    std::size_t at = text.find(words);
    REQUIRE(at != std::string::npos);
    std::string digits;
    while (at > 0 && (text[at - 1] == ',' || (text[at - 1] >= '0' && text[at - 1] <= '9'))) {
        --at;
        if (text[at] != ',') {
            digits.insert(digits.begin(), text[at]);
        }
    }
    REQUIRE(!digits.empty());
    return std::stoull(digits);
}

TEST_CASE("mqctl publish: an argument is a message, and its id is printed") {
    const Fixture f;
    CHECK(f.mqctl.must({"publish", "orders", "hello"}) == "orders:1:1\n");
    CHECK(f.mqctl.must({"publish", "orders", "-q", "--", "--x"}).empty());
    CHECK(f.mqctl.must({"pub", "orders", "-o", "json", "[1,2]"}) ==
          "{\"id\":\"orders:1:3\",\"durability\":\"disk\"}\n");
    CHECK(f.mqctl.must({"consume", "orders", "-n", "3"}) == "hello\n--x\n[1,2]\n");
}

TEST_CASE("mqctl publish: standard input to its end is one message, byte for byte") {
    const Fixture f;
    const std::string body("a\0\n\xFF\r\n", 6);
    CHECK(f.mqctl.must({"publish", "orders"}, body) == "orders:1:1\n");
    CHECK(f.mqctl.must({"publish", "orders"}) == "orders:1:2\n");
    CHECK(f.mqctl.must({"consume", "orders", "-o", "raw"}) == body);
    CHECK(f.mqctl.must({"consume", "orders"}) == "\n");
}

TEST_CASE("mqctl publish: lines, NUL-delimited pieces and files are a message each") {
    const Fixture f;
    CHECK(f.mqctl.must({"publish", "orders", "--lines"}, "a\n\nb") == ids("orders:1:", 1, 3));
    CHECK(f.mqctl.must({"publish", "orders", "-0"}, std::string_view("c\nd\0e\0", 6)) ==
          ids("orders:1:", 4, 5));
    const std::string file = f.daemon.folder() + "/file";
    write_file(file, "f\n");
    CHECK(f.mqctl.must({"publish", "orders", "-f", file, "-f", file}) == ids("orders:1:", 6, 7));
    CHECK(f.mqctl.must({"consume", "orders", "--drain", "-o", "<%b>"}) ==
          "<a><><b><c\nd><e><f\n><f\n>");
    const MqctlEnd none = f.mqctl.run({"publish", "orders", "--lines"});
    CHECK(none.exit == 0);
    CHECK(none.out.empty());
}

TEST_CASE("mqctl publish: headers arrive, and JSON lines make the same messages again") {
    const Fixture f;
    f.mqctl.must({"publish", "orders", "-H", "type:invoice", "-H", "to:a:b", "x"});
    f.mqctl.must({"publish", "orders"}, "\xFF");
    CHECK(f.mqctl.must({"peek", "orders", "-o", "%h{type} %h{to} %h{none}|%b"}) ==
          "invoice a:b |x");
    const std::string dump = f.mqctl.must({"consume", "orders", "--drain", "-o", "json"});
    CHECK(f.mqctl.must({"publish", "orders", "--jsonl"}, dump) == ids("orders:1:", 3, 4));
    CHECK(f.mqctl.must({"consume", "orders", "-n", "2", "-o", "%h{type}|%b\\n"}) ==
          "invoice|x\n|\xFF\n");
    const MqctlEnd bad = f.mqctl.run({"publish", "orders", "--jsonl"}, "{\"body\":\"y\"}\nnone\n");
    CHECK(bad.exit == 9);
    CHECK(mentions(bad.err, "line 2"));
    CHECK(bad.out == "orders:1:5\n");
}

TEST_CASE("mqctl publish: -H is added to lines of JSON, whose own headers win") {
    const Fixture f;
    f.mqctl.must({"-q", "publish", "orders", "--jsonl", "-H", "a:1", "-H", "a:2", "-H", "b:3"},
                 "{\"body\":\"x\",\"headers\":{\"b\":\"own\"}}\n{\"body\":\"y\"}\n"
                 "{\"body\":\"z\",\"headers\":{\"a\":\"own\"}}\n");
    const std::string all = f.mqctl.must({"consume", "orders", "--drain", "-o", "json"});
    CHECK(mentions(all, R"("headers":{"b":"own","a":["1","2"]},"body":"x")"));
    CHECK(mentions(all, R"("headers":{"a":["1","2"],"b":"3"},"body":"y")"));
    CHECK(mentions(all, R"("headers":{"a":"own","b":"3"},"body":"z")"));
}

TEST_CASE("mqctl publish: an error in a line of JSON says which line, whatever it is") {
    const Fixture f("[limits]\nmessage_bytes = \"1KiB\"\n");
    const std::string good = "{\"body\":\"x\"}\n";
    const std::vector<std::string> bad{
        R"({"body":"x","headers":{"":"no key"}})",
        R"({"body":"x","headers":{")" + std::string(256, 'k') + R"(":"v"}})",
        R"({"body":"x","headers":{"k":")" + std::string(70'000, 'v') + R"("}})",
        R"({"body":")" + std::string(1025, 'b') + R"("})",
        R"({"body":1})",
    };
    for (const std::string& line : bad) {
        const MqctlEnd end =
            f.mqctl.run({"publish", "orders", "--jsonl"}, good + '\n' + line + '\n');
        CHECK(end.exit == 9);
        CHECK(mentions(end.err, "line 3: "));
    }
    const std::string file = f.daemon.folder() + "/file";
    write_file(file, std::string(1025, 'x'));
    const MqctlEnd end = f.mqctl.run({"publish", "orders", "-f", file});
    CHECK(end.exit == 7);
    CHECK(mentions(end.err, file + " is too big"));
}

TEST_CASE("mqctl publish: a line is sent and its id printed before more input comes") {
    const Fixture f;
    MqctlProcess publish(f.mqctl.url(), {"publish", "orders", "--lines"});
    for (int i = 1; i <= 3; ++i) {
        publish.write("line\nbegun");
        CHECK(publish.read_line() == "orders:1:" + std::to_string(i));
        publish.write("-ended");
    }
    const MqctlEnd end = publish.wait();
    CHECK(end.exit == 0);
    CHECK(end.out == "orders:1:4\n");
    CHECK(mentions(end.err, "4 messages"));
    CHECK(mentions(end.err, "confirmed at disk"));
}

TEST_CASE("mqctl publish: many lines, each id once and in order") {
    const Fixture f;
    constexpr int count = 200'000;
    const std::string lines = ids("", 1, count);
    CHECK(f.mqctl.must({"publish", "orders", "--lines"}, lines) == ids("orders:1:", 1, count));
    CHECK(f.mqctl.must({"consume", "orders", "--drain"}) == lines);
}

// The credit comes at the end of more than is read at once, so that it is found at every point of
// the loop, and nothing comes behind it.
TEST_CASE("mqctl publish: credit that nothing follows is used") {
    constexpr int count = 40;
    constexpr std::size_t frames_a_line = 4;
    constexpr std::uint32_t padding_bytes = 16 * 1024;
    ListeningPeer daemon([](client::PeerSocket& socket) {
        const HandleId producer = socket.open_producer({1, 1'000'000});
        for (std::uint32_t line = 1; line <= count; ++line) {
            (void)socket.expect(wire::FrameType::publish);
            std::vector<std::byte> runs;
            wire::Confirm::append_run(runs, {MessageNumber(line), 1});
            const wire::Credit credit{line + 1, 1'000'000};
            std::vector<std::byte> answer;
            for (std::size_t i = 0; i < line * frames_a_line; ++i) {
                std::vector<std::byte> unknown(wire::frame_header_bytes + padding_bytes);
                wire::encode_frame_header(unknown.data(),
                                          {padding_bytes, wire::FrameType{0xE0}, 0, {}, {}});
                answer.insert(answer.end(), unknown.begin(), unknown.end());
            }
            wire::append_frame(answer,
                               wire::Confirm{LineNumber(line), Durability::disk, credit, runs}, {},
                               producer);
            socket.write(answer);
        }
        socket.goodbye();
    });
    const MqctlEnd end =
        Mqctl(daemon.url()).run({"publish", "orders", "--lines"}, ids("", 1, count));
    CHECK(end.exit == 0);
    CHECK(end.out == ids("orders:3:", 1, count));
}

TEST_CASE("mqctl publish: a queue that does not exist is exit 5, with the one that was meant") {
    const Fixture f;
    const MqctlEnd near = f.mqctl.run({"publish", "ordesr", "x"});
    CHECK(near.exit == 5);
    CHECK(near.err == "mqctl: queue \"ordesr\" does not exist (did you mean \"orders\"?)\n");
    const MqctlEnd far = f.mqctl.run({"publish", "invoices", "--lines"}, "x\n");
    CHECK(far.exit == 5);
    CHECK(mentions(far.err, "mqctl queue create invoices"));
    const MqctlEnd bad = f.mqctl.run({"publish", "no name", "x"});
    CHECK(bad.exit == 2);
    CHECK(bad.err ==
          "mqctl: \"no name\" is not a name for a queue: 1 to 200 letters, digits, '.', '_', '-', "
          "the first not '.' or '-'\n");
}

TEST_CASE("mqctl publish: without a daemon it is exit 3") {
    Fixture f;
    f.daemon.kill();
    const MqctlEnd end = f.mqctl.run({"publish", "orders", "x"});
    CHECK(end.exit == 3);
    CHECK(mentions(end.err, f.mqctl.url()));
    CHECK(lines_of(end.err) == 1);
}

TEST_CASE("mqctl publish: a message beyond the limit is exit 7, behind others exit 9") {
    const Fixture f("[limits]\nmessage_bytes = \"1KiB\"\n");
    const std::string longest(1024, 'x');
    CHECK(f.mqctl.must({"publish", "orders", longest}) == "orders:1:1\n");

    const MqctlEnd single = f.mqctl.run({"publish", "orders", longest + 'x'});
    CHECK(single.exit == 7);
    CHECK(mentions(single.err, "1,024"));
    CHECK(f.mqctl.run({"publish", "orders"}, longest + 'x').exit == 7);

    const MqctlEnd behind =
        f.mqctl.run({"publish", "orders", "--lines"}, "ok\n" + longest + "x\nmore\n");
    CHECK(behind.exit == 9);
    CHECK(behind.out == "orders:1:2\n");
    CHECK(mentions(behind.err, "line 2"));
    CHECK(mentions(behind.err, "1 message is confirmed"));
    CHECK(f.mqctl.queue_number("orders", "ready") == 2);
}

TEST_CASE("mqctl publish: a refusal by a limit names it, and when to try again") {
    const Fixture f("[limits]\nmemory_bytes = \"4MiB\"\nmessage_bytes = \"64KiB\"\n");
    f.mqctl.must({"-q", "queue", "create", "quick", "--memory"});
    std::string lines;
    for (int i = 0; i < 200; ++i) {
        lines += std::string(60'000, 'x') + '\n';
    }
    const MqctlEnd some = f.mqctl.run({"publish", "quick", "--lines"}, lines);
    CHECK(some.exit == 9);
    CHECK(mentions(some.err, "memory_full"));
    CHECK(mentions(some.err, "the limit is"));
    CHECK(mentions(some.err, "try again in"));
    CHECK(lines_of(some.out) == f.mqctl.queue_number("quick", "ready"));
    CHECK(f.mqctl.run({"publish", "quick"}, std::string(60'000, 'x')).exit == 7);
    CHECK(f.mqctl.run({"publish", "quick", "--lines"}, std::string(60'000, 'x')).exit == 7);
}

TEST_CASE("mqctl publish: when the daemon dies, it says what is confirmed and what is not known") {
    Fixture f;
    MqctlProcess publish(f.mqctl.url(), {"publish", "orders", "--lines"});
    publish.write("first\n");
    REQUIRE(publish.read_line() == "orders:1:1");
    f.daemon.send_signal(SIGSTOP);
    publish.write("second\nthird\n");
    // They are on their way once they have left the pipe; the daemon answers nothing any more.
    f.daemon.kill();
    publish.write("fourth\n");
    const MqctlEnd end = publish.wait();
    CHECK(end.exit == 9);
    CHECK(mentions(end.err, "1 message is confirmed"));
    CHECK(end.out.empty());
}

TEST_CASE("mqctl publish: every confirmed line has its id, however the daemon dies") {
    Fixture f;
    MqctlProcess publish(f.mqctl.url(), {"publish", "orders", "--lines"});
    const std::string block = ids("line ", 1, 20'000);
    std::uint64_t printed = 0;
    for (int i = 0; i < 5; ++i) {
        publish.write(block);
        REQUIRE(publish.read_line());
        ++printed;
    }
    f.daemon.kill();
    const MqctlEnd end = publish.wait();
    CHECK((end.exit == 9 || end.exit == 0));
    printed += lines_of(end.out);
    if (end.exit == 9) {
        CHECK(number_before(end.err, " messages are confirmed") == printed);
    }
    f.daemon.restart();
    CHECK(f.mqctl.queue_number("orders", "ready") >= printed);
}

TEST_CASE("mqctl publish: a signal ends the input, and what was sent is confirmed") {
    const Fixture f;
    for (const auto& [signal, exit] : {std::pair(SIGINT, 130), std::pair(SIGTERM, 143)}) {
        MqctlProcess publish(f.mqctl.url(), {"publish", "orders", "--lines"});
        publish.write("line\nbegun");
        REQUIRE(publish.read_line());
        publish.send_signal(signal);
        const MqctlEnd end = publish.wait_for_end();
        CHECK(end.exit == exit);
        CHECK(mentions(end.err, "1 message is confirmed"));
    }
    CHECK(f.mqctl.queue_number("orders", "ready") == 2);
}

TEST_CASE("mqctl publish: a reader of the ids that goes away ends it") {
    const Fixture f;
    MqctlProcess publish(f.mqctl.url(), {"publish", "orders", "--lines"});
    publish.write("a\n");
    REQUIRE(publish.read_line());
    publish.close_output();
    publish.write("b\n");
    const MqctlEnd end = publish.wait_for_end();
    CHECK(end.exit == 9);
    CHECK(mentions(end.err, "standard output"));
}

TEST_CASE("mqctl publish: --durability beyond the queue's is refused") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "quick", "--memory"});
    const MqctlEnd end = f.mqctl.run({"publish", "quick", "--durability", "disk", "x"});
    CHECK(end.exit == 2);
    CHECK(mentions(f.mqctl.must({"publish", "orders", "--durability", "memory", "-v", "x"}),
                   "orders:1:1"));
}

}  // namespace
}  // namespace mqd::test
