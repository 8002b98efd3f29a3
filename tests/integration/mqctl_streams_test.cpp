// mqctl and mqd with standard streams that are closed, full, or come when they come.

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <csignal>
#include <cstddef>
#include <filesystem>

#include "integration/mqctl_run.hpp"
#include "mqd/wire/admin.hpp"

namespace mqd::test {
namespace {

struct Fixture {
    DaemonProcess daemon;
    Mqctl mqctl;

    explicit Fixture(const DaemonOptions& options = {})
        : daemon(MQD_BIN, options), mqctl(daemon.url()) {
        daemon.start();
        mqctl.must({"-q", "queue", "create", "orders"});
    }
    [[nodiscard]] std::uint64_t number(const std::string& field) const {
        return mqctl.queue_number("orders", field);
    }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

// What deletes a queue, if it gets onto a connection.
std::string delete_frame(const std::string& queue) {
    std::vector<std::byte> bytes;
    wire::append_frame(bytes, wire::QueueDelete{queue}, CorrelationId(99));
    std::string text;
    for (const std::byte byte : bytes) {
        text += static_cast<char>(byte);
    }
    return text;
}

// --- closed
// -----------------------------------------------------------------------------------------

TEST_CASE("mqctl: with standard output closed, nothing of a message gets onto the connection") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "victim"});
    f.mqctl.must({"-q", "publish", "orders"}, delete_frame("victim"));
    for (const std::string redirection : {">&-", "<&- >&-"}) {
        for (const std::string output : {"raw", "text"}) {
            const MqctlEnd end = f.mqctl.run({"consume", "orders", "-o", output}, {}, redirection);
            CHECK(end.exit == 1);
            CHECK(mentions(end.err, "cannot write to standard output"));
            CHECK(f.number("ready") == 1);
            CHECK(f.mqctl.run({"queue", "show", "victim"}).exit == 0);
        }
    }
    CHECK(f.mqctl.run({"consume", "orders"}, {}, "<&- >&- 2>&-").exit == 1);
    CHECK(f.mqctl.must({"consume", "orders", "-o", "%a"}) == "1");  // it was never delivered
}

TEST_CASE("mqctl: with standard output closed, every command that writes says so") {
    const Fixture f;
    const std::vector<std::vector<std::string>> commands{
        {"publish", "orders", "x"},  {"peek", "orders"},  {"queue", "list"}, {"status"}, {"ping"},
        {"queue", "show", "orders"}, {"export", "orders"}};
    for (const std::vector<std::string>& command : commands) {
        CAPTURE(command.front());
        const MqctlEnd end = f.mqctl.run(command, {}, ">&-");
        CHECK(end.exit == 1);
        CHECK(mentions(end.err, "standard output"));
    }
    CHECK(f.number("ready") == 0);  // what has no id to print it has is not published
    CHECK(f.mqctl.run({"-q", "publish", "orders", "x"}, {}, ">&-").exit == 0);
    CHECK(f.mqctl.run({"-q", "publish", "orders", "x"}, {}, "<&- >&- 2>&-").exit == 0);
    CHECK(f.number("ready") == 2);
}

TEST_CASE("mqctl: with standard input closed, there is nothing to publish") {
    const Fixture f;
    const std::vector<std::vector<std::string>> commands{
        {"publish", "orders"}, {"publish", "orders", "--lines"}, {"publish", "orders", "-f", "-"}};
    for (const std::vector<std::string>& command : commands) {
        const MqctlEnd end = f.mqctl.run(command, {}, "<&-");
        CHECK(end.exit == 1);
        CHECK(mentions(end.err, "cannot read"));
    }
    CHECK(f.number("ready") == 0);
    CHECK(f.mqctl.run({"queue", "purge", "orders"}, {}, "<&-").exit == 2);
    CHECK(f.mqctl.run({"publish", "orders", "x"}, {}, "<&-").exit == 0);
}

TEST_CASE("mqd: closed standard streams are nothing that a file or a socket can become") {
    Fixture f({.wrapper = {"sh", "-c", "exec \"$@\" <&- >&- 2>&-", "-"}});
    f.mqctl.must({"-q", "publish", "orders", "x"});
    for (const std::string stream : {"0", "1", "2"}) {
        const std::string link = "/proc/" + std::to_string(f.daemon.pid()) + "/fd/" + stream;
        CHECK(std::filesystem::read_symlink(link) == "/dev/null");
    }
    f.daemon.restart();
    CHECK(f.mqctl.must({"consume", "orders"}) == "x\n");
}

// --- full
// -------------------------------------------------------------------------------------------

TEST_CASE("mqctl and mqd: output that cannot be written is complained about, by all who write") {
    Fixture f;
    f.mqctl.must({"-q", "publish", "orders", "x"});
    const std::vector<std::vector<std::string>> commands{{"version"},
                                                         {"--version"},
                                                         {"version", "-o", "json"},
                                                         {"--help"},
                                                         {"help"},
                                                         {"publish", "-h"},
                                                         {"status"},
                                                         {"queue", "list"},
                                                         {"peek", "orders"},
                                                         {"consume", "orders"},
                                                         {"export", "orders"}};
    for (const std::vector<std::string>& command : commands) {
        CAPTURE(command.front());
        const MqctlEnd end = f.mqctl.run(command, {}, ">/dev/full");
        CHECK(end.exit == 1);
        CHECK(mentions(end.err, "standard output: No space left on device"));
    }
    CHECK(f.number("ready") == 1);
    for (const std::string argument : {"--print-config", "--version", "--help"}) {
        const std::string errors = f.daemon.folder() + "/errors";
        ChildProcess::Options options;
        options.command = {"sh", "-c", "exec \"$@\" >/dev/full", "-", MQD_BIN};
        options.command.insert(options.command.end(),
                               {"--config", f.daemon.config_path(), argument});
        options.errors_path = errors;
        ChildProcess mqd(options);
        CHECK(mqd.wait() == ProcessEnd{1, 0});
        CHECK(mentions(read_file(errors), "mqd: cannot write to standard output: No space left"));
    }
}

// --- when it comes
// -----------------------------------------------------------------------------------

TEST_CASE("mqctl publish: a signal ends the reading of a pipe, and nothing is sent") {
    const Fixture f;
    const std::string pipe = f.daemon.folder() + "/pipe";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    const std::string file = f.daemon.folder() + "/file";
    write_file(file, "before");
    for (const std::string& source : {std::string("-"), pipe}) {
        for (const auto& [signal, exit] : {std::pair(SIGINT, 130), std::pair(SIGTERM, 143)}) {
            MqctlProcess publish(f.mqctl.url(), {"publish", "orders", "-f", file, "-f", source});
            publish.write("half a mess");
            REQUIRE(publish.read_line());  // so it reads the second
            publish.send_signal(signal);
            const MqctlEnd end = publish.wait_for_end();
            CHECK(end.exit == exit);
            CHECK(end.out.empty());
        }
    }
    CHECK(f.number("ready") == 4);
}

TEST_CASE("mqctl publish: a signal and the end of the input at once send nothing") {
    const Fixture f;
    const std::vector<std::vector<std::string>> commands{{"publish", "orders"},
                                                         {"publish", "orders", "-f", "-"}};
    for (const std::vector<std::string>& command : commands) {
        MqctlProcess publish(f.mqctl.url(), command);
        REQUIRE(eventually([&] { return f.number("producers") == 1; }));
        publish.write("half a mess");
        publish.stop();
        publish.send_signal(SIGINT);
        publish.close_input();
        publish.send_signal(SIGCONT);
        CHECK(publish.wait_for_end().exit == 130);
        REQUIRE(eventually([&] { return f.number("producers") == 0; }));
    }
    CHECK(f.number("ready") == 0);
}

TEST_CASE("mqctl publish: a message comes through a named pipe") {
    const Fixture f;
    const std::string pipe = f.daemon.folder() + "/pipe";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    MqctlProcess publish(f.mqctl.url(), {"publish", "orders", "-f", pipe, "-f", "-"});
    write_file(pipe, "first");
    REQUIRE(publish.read_line() == "orders:1:1");
    publish.write("second");
    const MqctlEnd end = publish.wait();
    CHECK(end.exit == 0);
    CHECK(end.out == "orders:1:2\n");
    CHECK(f.mqctl.must({"consume", "orders", "--drain"}) == "first\nsecond\n");
}

}  // namespace
}  // namespace mqd::test
