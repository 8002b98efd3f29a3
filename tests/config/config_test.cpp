#include "daemon/config/config.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

using namespace mqd;
using std::chrono::milliseconds;
namespace fs = std::filesystem;

namespace {

engine::QueueDefinition declared(std::string name, Durability durability, milliseconds lease) {
    engine::QueueDefinition queue = engine::default_definition();
    queue.name = std::move(name);
    queue.durability = durability;
    queue.lease = lease;
    return queue;
}

Config parse(std::string_view text) {
    const auto config = parse_config(text, "mqd.toml");
    REQUIRE_MESSAGE(config.has_value(), config.error().text);
    return *config;
}

// The line that a wrong text is refused with.
std::string refusal(std::string_view text) {
    const auto config = parse_config(text, "mqd.toml");
    if (config) {
        return "(taken)";
    }
    CHECK(config.error().code == ErrorCode::bad_config);
    CHECK(config.error().text.find('\n') == std::string::npos);
    return config.error().text;
}

class TemporaryFolder {
  public:
    TemporaryFolder() {
        std::string pattern = (fs::temp_directory_path() / "mqd-config-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    // Writes a file and gives its path.
    std::string write(const std::string& name, std::string_view text) const {
        const fs::path file = path_ / name;
        fs::create_directories(file.parent_path());
        std::ofstream(file, std::ios::binary) << text;
        return file.string();
    }
    [[nodiscard]] std::string path(const std::string& name) const {
        return (path_ / name).string();
    }

  private:
    fs::path path_;
};

}  // namespace

TEST_CASE("config: nothing said is the defaults") {
    const Config config = parse("");
    CHECK(config == default_config());
    REQUIRE(config.listeners.size() == 1);
    CHECK(config.listeners[0].name == "local");
    CHECK(format_listen_address(config.listeners[0].bind) == "unix:/run/mqd/mqd.sock");
    CHECK(config.listeners[0].mode == 0660);
}

TEST_CASE("config: every kind of value is read") {
    const Config config = parse(R"(
[server]
shutdown_timeout = "250ms"
[storage]
path = "/srv/mqd"
durability = "written"
memory = "32MiB"
segment_bytes = "4MiB"
journal_file_bytes = 33554432
journal_bytes = "2GB"
[limits]
connections = 7
[queue_defaults]
lease = "5m"
[log]
level = "debug"
[[listener]]
name = "a"
bind = "unix:/tmp/a.sock"
mode = "0600"
[[listener]]
name = "b"
bind = "tcp://[::1]:0"
)");
    CHECK(config.server.shutdown_timeout == milliseconds(250));
    CHECK(config.storage.path == "/srv/mqd");
    CHECK(config.queue_defaults.durability == Durability::written);
    CHECK(config.storage.memory == 32 * mebibyte);
    CHECK(config.storage.segment_bytes == 4 * mebibyte);
    CHECK(config.storage.journal_file_bytes == 32 * mebibyte);
    CHECK(config.storage.journal_bytes == 2'000'000'000);
    CHECK(config.limits.connections == 7);
    CHECK(config.queue_defaults.lease == milliseconds(300'000));
    CHECK(config.log.level == LogLevel::debug);
    REQUIRE(config.listeners.size() == 2);
    CHECK(config.listeners[0].mode == 0600);
    CHECK(config.listeners[1].bind == ListenAddress(TcpAddress{"::1", 0}));
}

TEST_CASE("config: declared queues take what they do not say from the defaults") {
    const Config config = parse(R"(
[queue."b.c"]
durability = "memory"
[queue.a]
lease = "1m"
[storage]
durability = "written"
[queue_defaults]
lease = "2m"
)");
    REQUIRE(config.queues.size() == 2);
    CHECK(config.queues[0] == declared("a", Durability::written, milliseconds(60'000)));
    CHECK(config.queues[1] == declared("b.c", Durability::memory, milliseconds(120'000)));
}

TEST_CASE("config: of the queues of one file it is known what was said, and what is a default") {
    const auto queues = parse_queues(R"(
[queue."b.c"]
durability = "memory"
[queue.a]
max_messages = 0
[storage]
durability = "written"
[queue_defaults]
lease = "2m"
)",
                                     "q.toml");
    REQUIRE(queues);
    REQUIRE(queues->size() == 2);
    using Keys = std::vector<std::string_view>;
    CHECK((*queues)[0].definition.name == "a");
    CHECK((*queues)[0].said == Keys{"lease", "max_messages"});
    CHECK((*queues)[1].said == Keys{"durability", "lease"});
    CHECK((*queues)[1].definition.durability == Durability::memory);
    CHECK((*queues)[1].definition.lease == milliseconds(120'000));

    CHECK(parse_queues("", "q.toml")->empty());
    const auto unknown = parse_queues("[queue.a]\nleese = 1\n", "q.toml");
    REQUIRE_FALSE(unknown);
    CHECK(unknown.error().text ==
          "q.toml:2:1: unknown key \"queue.a.leese\" (did you mean \"lease\"?)");
    const auto contradiction = parse_queues(
        "[queue_defaults]\nmax_bytes = 1\n[queue.a]\non_full = \"drop-oldest\"\n", "q.toml");
    REQUIRE_FALSE(contradiction);
    CHECK(contradiction.error().text.starts_with("q.toml:4:11: queue.a: on_full"));
}

TEST_CASE("config: queues are read from their file alone, without conf.d") {
    const TemporaryFolder folder;
    const std::string path = folder.write("queues.toml", "[queue.a]\n");
    folder.write("conf.d/more.toml", "[queue.b]\n");
    const auto queues = load_queues(path);
    REQUIRE(queues);
    CHECK(queues->size() == 1);
    CHECK(load_queues(folder.path("none.toml")).error().os_errno == ENOENT);
}

TEST_CASE("config: a declared queue may say no limit where the default is one") {
    const Config config = parse(R"(
[queue.a]
max_attempts = 0
max_messages = 0
max_bytes = 0
on_full = "reject"
dead_letter = "failed"
[queue.b]
[queue_defaults]
max_attempts = 3
max_messages = 1000000000000
on_full = "drop-oldest"
)");
    CHECK(config.queue_defaults.max_attempts == 3);
    CHECK(config.queue_defaults.max_messages == 1'000'000'000'000);
    CHECK(config.queue_defaults.on_full == OnFull::drop_oldest);
    REQUIRE(config.queues.size() == 2);
    engine::QueueDefinition a = declared("a", Durability::disk, milliseconds(30'000));
    a.max_attempts = 0;
    a.dead_letter = "failed";
    CHECK(config.queues[0] == a);
    engine::QueueDefinition b = declared("b", Durability::disk, milliseconds(30'000));
    b.max_attempts = 3;
    b.max_messages = 1'000'000'000'000;
    b.on_full = OnFull::drop_oldest;
    CHECK(config.queues[1] == b);
    CHECK(*parse_config(print_config(config), "printed") == config);
}

TEST_CASE("config: the delays of a queue are a list, in the defaults and of its own") {
    const Config config = parse(R"(
[queue.a]
retry = []
[queue.b]
retry = ["0", "250ms"]
[queue.c]
[queue_defaults]
retry = ["1s", "10s", "30d"]
)");
    using Delays = std::vector<milliseconds>;
    const Delays defaults{milliseconds(1000), milliseconds(10'000), std::chrono::hours(30 * 24)};
    CHECK((config.queue_defaults.retry == defaults));
    REQUIRE(config.queues.size() == 3);
    CHECK(config.queues[0].retry.empty());
    CHECK((config.queues[1].retry == Delays{milliseconds(0), milliseconds(250)}));
    CHECK((config.queues[2].retry == defaults));
    CHECK(*parse_config(print_config(config), "printed") == config);

    const auto with = [](const std::string& text) { return refusal("[queue.a]\nretry = " + text); };
    CHECK(with("[\"1s\", \"31d\"]") ==
          "mqd.toml:2:9: queue.a.retry: 31d is out of range: 0ms to 30d");
    CHECK(with("[\"1s\", \"soon\"]").find("mqd.toml:2:9: queue.a.retry: ") == 0);
    CHECK(with("[1]") ==
          "mqd.toml:2:9: queue.a.retry: must not be an array of other things than strings");
    CHECK(with("\"1s\"") ==
          "mqd.toml:2:9: queue.a.retry: must be an array of durations such as "
          "[\"1s\", \"10s\"], not a string");
    std::string many = "[\"1s\"";
    for (int i = 1; i < 32; ++i) {
        many += ", \"1s\"";
    }
    CHECK(with(many + ']') == "(taken)");
    CHECK(with(many + ", \"1s\"]") == "mqd.toml:2:9: queue.a.retry: 33 delays are more than 32");
}

TEST_CASE("config: the rate of groups is a rate or none, in the defaults and of its own") {
    const Config config = parse(R"(
[queue.a]
group_rate = "none"
[queue.b]
group_rate = "1000000/d"
[queue.c]
[queue_defaults]
group_rate = "10/s"
)");
    CHECK(config.queue_defaults.group_rate == Rate{10});
    REQUIRE(config.queues.size() == 3);
    CHECK(config.queues[0].group_rate == Rate{});
    CHECK(config.queues[1].group_rate == Rate{1'000'000, std::chrono::hours(24)});
    CHECK(config.queues[2].group_rate == Rate{10});
    CHECK(*parse_config(print_config(config), "printed") == config);

    const auto with = [](const std::string& text) {
        return refusal("[queue.a]\ngroup_rate = " + text);
    };
    for (const std::string bad : {"", "0/s", "ten/s", "10/w"}) {
        CHECK(with('"' + bad + '"') == "mqd.toml:2:14: queue.a.group_rate: \"" + bad +
                                           "\" is not a rate, as in 50/s, 3000/m, 100/h or 5/d");
    }
    CHECK(with("\"1000001/s\"") ==
          "mqd.toml:2:14: queue.a.group_rate: 1000001/s is more than 1000000");
    CHECK(with("10") ==
          "mqd.toml:2:14: queue.a.group_rate: must be a rate such as \"10/s\", or "
          "\"none\", not a number");
}

TEST_CASE("config: limits of queues are taken at their bounds and refused beyond") {
    const auto with = [](const std::string& text) { return refusal("[queue_defaults]\n" + text); };
    CHECK(with("max_attempts = 1000000") == "(taken)");
    CHECK(with("max_attempts = 1000001") ==
          "mqd.toml:2:16: queue_defaults.max_attempts: 1000001 is out of range: 0 to 1000000");
    CHECK(with("max_messages = 1000000000001") ==
          "mqd.toml:2:16: queue_defaults.max_messages: 1000000000001 is out of range: "
          "0 to 1000000000000");
    CHECK(with("max_messages = -1").find("out of range") != std::string::npos);
    CHECK(with("max_messages = \"10\"").find("must be a number") != std::string::npos);
    CHECK(with("max_bytes = \"16TiB\"") == "(taken)");
    CHECK(with("max_bytes = \"17TiB\"").find("out of range") != std::string::npos);
    CHECK(with("on_full = \"dead-letter\"") == "(taken)");
    CHECK(with("on_full = \"wait\"\nmax_messages = \"rendezvous\"") == "(taken)");
    CHECK(refusal("[queue.a]\nmax_messages = \"rendezvous\"\non_full = \"wait\"\n")
              .starts_with("mqd.toml:2:16: queue.a: a rendezvous"));
    CHECK(refusal("[queue.a]\nmax_messages = \"rendezvous\"\non_full = \"wait\"\n"
                  "durability = \"memory\"\n") == "(taken)");
    CHECK(with("max_bytes = 10\non_full = \"dead-letter\"").find("goes with max_messages") !=
          std::string::npos);
    CHECK(with("on_full = \"drop\"").find("is not one of \"reject\", \"drop-oldest\"") !=
          std::string::npos);
    CHECK(refusal("[queue.a]\ndead_letter = \"a b\"\n").find("is not a name") != std::string::npos);
    CHECK(refusal("[queue.a]\ndead_letter = \"\"\n") == "(taken)");
    CHECK(refusal("[queue.\"a.b\"]\ndead_letter = \"a.b\"\n") ==
          "mqd.toml:2:15: queue.a.b.dead_letter names the queue itself");
    CHECK(with("max_bytes = 10\non_full = \"drop-oldest\"").find("goes with max_messages") !=
          std::string::npos);
    CHECK(refusal("[queue.a]\nmax_bytes = 10\non_full = \"drop-oldest\"\n").find("mqd.toml:2:13") ==
          0);
}

TEST_CASE("config: an unknown key is refused with its place and the nearest name") {
    CHECK(refusal("[storage]\npth = \"/x\"\n") ==
          "mqd.toml:2:1: unknown key \"storage.pth\" (did you mean \"path\"?)");
    CHECK(refusal("[limits]\n  conections = 3\n") ==
          "mqd.toml:2:3: unknown key \"limits.conections\" (did you mean \"connections\"?)");
    CHECK(refusal("[limits]\nxyzzy = 3\n") == "mqd.toml:2:1: unknown key \"limits.xyzzy\"");
    CHECK(refusal("[sotrage]\npath = \"/x\"\n") ==
          "mqd.toml:1:2: unknown section \"sotrage\" (did you mean \"storage\"?)");
    CHECK(refusal("[queue.a]\nleas = \"1s\"\n") ==
          "mqd.toml:2:1: unknown key \"queue.a.leas\" (did you mean \"lease\"?)");
    CHECK(refusal("[[listener]]\nnaem = \"a\"\n") ==
          "mqd.toml:2:1: unknown key \"listener.naem\" (did you mean \"name\"?)");
}

TEST_CASE("config: a value of the wrong kind is refused with its place") {
    CHECK(refusal("[limits]\nconnections = \"3\"\n") ==
          "mqd.toml:2:15: limits.connections: must be a number, not a string");
    CHECK(refusal("[limits]\nconnections = 1.5\n") ==
          "mqd.toml:2:15: limits.connections: must not be a number with a fraction");
    CHECK(
        refusal("[limits]\nmemory_bytes = true\n") ==
        "mqd.toml:2:16: limits.memory_bytes: must be a size such as \"64KiB\", not true or false");
    CHECK(refusal("[limits]\nhello_timeout = 10\n") ==
          "mqd.toml:2:17: limits.hello_timeout: must be a duration with its unit, such as \"30s\", "
          "not a number");
    CHECK(refusal("[storage]\ndurability = 3\n") ==
          "mqd.toml:2:14: storage.durability: must be one of \"memory\", \"written\", \"disk\", "
          "not a number");
    CHECK(refusal("[storage]\npath = [\"/x\"]\n") ==
          "mqd.toml:2:8: storage.path: must be a path, not an array");
    CHECK(refusal("[storage]\npath = [1]\n") ==
          "mqd.toml:2:8: storage.path: must not be an array of other things than strings");
    CHECK(refusal("storage = 3\n") ==
          "mqd.toml:1:11: storage must be a section, [storage], not a plain value");
    CHECK(refusal("[listener]\nname = \"a\"\n").find("[[listener]]") != std::string::npos);
    CHECK(refusal("[queue]\norders = 1\n").find("[queue.orders]") != std::string::npos);
}

TEST_CASE("config: a wrong word, unit or name is refused with what would be right") {
    CHECK(refusal("[storage]\ndurability = \"dsk\"\n") ==
          "mqd.toml:2:14: storage.durability: \"dsk\" is not one of \"memory\", \"written\", "
          "\"disk\" (did you mean \"disk\"?)");
    CHECK(refusal("[storage]\njournal_bytes = \"1G\"\n").find("unknown unit") != std::string::npos);
    CHECK(refusal("[storage]\npath = \"var\"\n") ==
          "mqd.toml:2:8: storage.path: \"var\" is not an absolute path");
    CHECK(refusal("[queue.\"a b\"]\n").find("mqd.toml:1:8: \"a b\" is not a name") == 0);
    CHECK(refusal("[queue.a.b]\n") ==
          "mqd.toml:1:10: a queue whose name has dots is written in quotes: [queue.\"a.b\"]");
    CHECK(refusal("[[listener]]\nname = \"a\"\nbind = \"unix:/a\"\nmode = \"0999\"\n")
              .find("mqd.toml:4:8: listener.mode: \"0999\"") == 0);
}

TEST_CASE("config: limits are taken at their bounds and refused one beyond") {
    CHECK(parse("[limits]\nconnections = 1\n").limits.connections == 1);
    CHECK(parse("[limits]\nconnections = 1000000\n").limits.connections == 1'000'000);
    CHECK(refusal("[limits]\nconnections = 0\n") ==
          "mqd.toml:2:15: limits.connections: 0 is out of range: 1 to 1000000");
    CHECK(refusal("[limits]\nconnections = 1000001\n").find("out of range") != std::string::npos);
    CHECK(parse("").limits.named_producers == 10'000);
    CHECK(parse("[limits]\nnamed_producers = 0\n").limits.named_producers == 0);
    CHECK(refusal("[limits]\nnamed_producers = 10000001\n").find("out of range") !=
          std::string::npos);
    CHECK(parse("").limits.messages == 0);
    CHECK(parse("[limits]\nmessages = 1000000000000\n").limits.messages == 1'000'000'000'000);
    CHECK(refusal("[limits]\nmessages = 1000000000001\n") ==
          "mqd.toml:2:12: limits.messages: 1000000000001 is out of range: 0 to 1000000000000");
    CHECK(parse("").limits.connection_unacked == 0);
    CHECK(parse("[limits]\nconnection_unacked = 1\n").limits.connection_unacked == 1);
    CHECK(refusal("[limits]\nconnection_unacked = \"1\"\n").find("limits.connection_unacked") !=
          std::string::npos);
    CHECK(parse("").limits.delayed_messages == 4'000'000);
    CHECK(parse("[limits]\ndelayed_messages = 0\n").limits.delayed_messages == 0);
    CHECK(parse("[limits]\ndelayed_messages = 1000000000\n").limits.delayed_messages ==
          1'000'000'000);
    CHECK(refusal("[limits]\ndelayed_messages = 1000000001\n").find("out of range") !=
          std::string::npos);
    CHECK(refusal("[limits]\nmemory_bytes = -1\n").find("negative") != std::string::npos);

    const std::string large =
        "[storage]\njournal_file_bytes = \"256MiB\"\njournal_bytes = \"1GiB\"\n[limits]\n"
        "frame_bytes = \"32MiB\"\noutput_bytes = \"32MiB\"\n";
    CHECK(parse(large + "message_bytes = \"16MiB\"").limits.message_bytes == 16 * mebibyte);
    CHECK(refusal(large + "message_bytes = 16777217").find("out of range") != std::string::npos);
}

TEST_CASE("config: values that contradict each other are refused where one of them stands") {
    CHECK(refusal("[limits]\nmessage_bytes = \"8MiB\"\n") ==
          "mqd.toml:2:17: limits.frame_bytes is 3MiB, and must be at least 8320KiB "
          "(limits.message_bytes + 128KiB)");
    CHECK(refusal("[storage]\njournal_file_bytes = \"12MiB\"\n")
              .find("mqd.toml:2:22: storage.journal_file_bytes is 12MiB, and must be at least") ==
          0);
    CHECK(refusal("[storage]\njournal_bytes = \"63MiB\"\n") ==
          "mqd.toml:2:17: storage.journal_bytes is 63MiB, and must be at least 64MiB "
          "(4 x storage.journal_file_bytes)");
    CHECK(parse("[storage]\njournal_bytes = \"64MiB\"\n").storage.journal_bytes == 64 * mebibyte);
    CHECK(refusal("[storage]\njournal_file_bytes = 67108865\n").find("not a multiple of 4KiB") !=
          std::string::npos);
    CHECK(refusal("[limits]\noutput_bytes = \"3071KiB\"\n").find("limits.output_bytes") !=
          std::string::npos);
    CHECK(refusal("[limits]\nmemory_bytes = \"3071KiB\"\n").find("limits.memory_bytes") !=
          std::string::npos);
    CHECK(refusal("[limits]\nproducer_credit_bytes = \"65MiB\"\n")
              .find("limits.publish_credit_bytes") != std::string::npos);
    CHECK(refusal("[limits]\nqueues = 1\n[queue.a]\n[queue.b]\n") ==
          "mqd.toml:2:10: limits.queues is 1, but 2 queues are declared");
}

TEST_CASE("config: a public address is refused unless the listener says that it is insecure") {
    const std::string listener = "[[listener]]\nname = \"net\"\n";
    const auto with = [&listener](const std::string& bind, const std::string& more = "") {
        return refusal(listener + "bind = \"" + bind + "\"\n" + more);
    };
    for (const std::string bind : {"tcp://0.0.0.0:7440", "tcp://192.0.2.1", "tcp://[::]:7440",
                                   "tcp://[::ffff:127.0.0.1]:1", "tcp://[2001:db8::1]"}) {
        CAPTURE(bind);
        CHECK(with(bind).find("mqd.toml:1:1: listener \"net\"") == 0);
        CHECK(with(bind).find("insecure = true") != std::string::npos);
        CHECK(with(bind, "insecure = true\n") == "(taken)");
        CHECK(with(bind, "insecure = false\n") != "(taken)");
    }
    for (const std::string bind :
         {"tcp://127.0.0.1:7440", "tcp://127.9.9.9", "tcp://[::1]", "tcp://localhost:1"}) {
        CAPTURE(bind);
        CHECK(with(bind) == "(taken)");
    }
}

TEST_CASE("config: listeners need a name and a bind, and share neither") {
    CHECK(refusal("[[listener]]\nname = \"a\"\n") ==
          "mqd.toml:1:1: a listener needs both a name and a bind");
    CHECK(refusal("[[listener]]\nbind = \"unix:/a\"\n") ==
          "mqd.toml:1:1: a listener needs both a name and a bind");
    const std::string a = "[[listener]]\nname = \"a\"\nbind = \"unix:/a\"\n";
    CHECK(refusal(a + "[[listener]]\nname = \"a\"\nbind = \"unix:/b\"\n") ==
          "mqd.toml:4:1: there are two listeners \"a\"");
    CHECK(refusal(a + "[[listener]]\nname = \"b\"\nbind = \"unix:/a\"\n")
              .find("mqd.toml:4:1: listeners \"a\" and \"b\" have the same address") == 0);
    CHECK(refusal(a + "insecure = true\n").find("insecure is for tcp only") != std::string::npos);
    CHECK(refusal("[[listener]]\nname = \"a\"\nbind = \"tcp://127.0.0.1\"\nmode = \"0600\"\n")
              .find("mode is for unix sockets only") != std::string::npos);
}

TEST_CASE("config: what is not TOML is refused with its place") {
    CHECK(refusal("[storage\n").find("mqd.toml:1:9: ") == 0);
    CHECK(refusal("[storage]\npath = \"a\"\npath = \"b\"\n").find("mqd.toml:3:") == 0);
    CHECK(refusal("x = \"\xFF\"\n").find("mqd.toml:1:") == 0);
    CHECK(refusal(std::string("a\0b", 3)).find("mqd.toml:1:") == 0);
    CHECK(refusal(std::string(100'000, '[')).find("mqd.toml:1:") == 0);
    CHECK(refusal("[log]\nlevel = \"info\"\n[[[a]]]\n[log]\n") ==
          "mqd.toml:3:1: this is not TOML: a name is missing");
    CHECK(refusal("x = \xC3\xA4\n").find("mqd.toml:1:") == 0);
    CHECK(refusal("[ \xC3\xA4 ]\n").find("mqd.toml:1:") == 0);
    CHECK(refusal("[log]\n[=]") == "mqd.toml:2:1: this is not TOML: a name is missing");
}

TEST_CASE("config: reading is total: a damaged text is taken or refused, never more") {
    const std::string good = print_config(parse("[queue.orders]\nlease = \"1m\"\n"));
    std::random_device device;
    const auto seed = device();
    CAPTURE(seed);
    std::mt19937 random(seed);
    for (int i = 0; i < 2000; ++i) {
        std::string text = good.substr(0, random() % (good.size() + 1));
        for (std::size_t n = text.empty() ? 0 : random() % 4; n > 0; --n) {
            text[random() % text.size()] = static_cast<char>(random());
        }
        (void)refusal(text);
    }
}

TEST_CASE("config: what is printed reads back") {
    const Config config = parse(R"(
[server]
shutdown_timeout = "1500ms"
[storage]
path = "/a \"b\"\\c\u0001 é"
durability = "memory"
[limits]
message_bytes = 1000000
[log]
level = "trace"
[[listener]]
name = "x"
bind = "unix:/tmp/x y"
mode = "0007"
[[listener]]
name = "y"
bind = "tcp://0.0.0.0:1"
insecure = true
[queue."a.b-c_d"]
durability = "disk"
)");
    const auto again = parse_config(print_config(config), "printed");
    REQUIRE_MESSAGE(again.has_value(), again.error().text);
    CHECK(*again == config);
    CHECK(print_config(*again) == print_config(config));
    CHECK(*parse_config(print_config(default_config()), "printed") == default_config());
}

TEST_CASE("config: what changed from one to another is named") {
    const Config before = parse("[queue.a]\n[queue.b]\n[queue.c]\n");
    const Config after = parse(R"(
[log]
level = "debug"
[limits]
queues = 5
[queue.a]
[queue.b]
lease = "1m"
[queue.d]
[[listener]]
name = "local"
bind = "unix:/other"
)");
    CHECK(changed_keys(before, before).empty());
    CHECK(changed_keys(before, after) == std::vector<std::string>{"limits.queues", "log.level",
                                                                  "listener.local", "queue.b",
                                                                  "queue.c", "queue.d"});
}

TEST_CASE("config: a named file must exist, the default one need not") {
    const TemporaryFolder folder;
    const auto missing = load_config(folder.path("mqd.toml"));
    REQUIRE(!missing);
    CHECK(missing.error().code == ErrorCode::io_error);
    CHECK(missing.error().os_errno == ENOENT);
    CHECK(missing.error().text.find(folder.path("mqd.toml")) != std::string::npos);

    const auto directory = load_config(folder.path("."));
    CHECK(!directory);
    if (!fs::exists(default_config_path) && !fs::exists("/etc/mqd/conf.d")) {
        const auto none = load_config(std::nullopt);
        REQUIRE(none);
        CHECK(*none == default_config());
    }
}

TEST_CASE("config: conf.d is read after the file, in order of name, and wins") {
    const TemporaryFolder folder;
    const std::string file = folder.write("mqd.toml", R"(
[limits]
connections = 1
queues = 10
[[listener]]
name = "a"
bind = "unix:/a"
[queue.q]
lease = "1m"
)");
    folder.write("conf.d/20-more.toml",
                 "[limits]\nconnections = 3\n[queue.q]\n"
                 "durability = \"memory\"\n");
    folder.write("conf.d/10-some.toml",
                 "[limits]\nconnections = 2\n[[listener]]\nname = \"a\"\n"
                 "bind = \"unix:/b\"\n[[listener]]\nname = \"c\"\n"
                 "bind = \"unix:/c\"\n");
    folder.write("conf.d/.hidden.toml", "not TOML");
    folder.write("conf.d/readme.txt", "not TOML");
    const auto config = load_config(file);
    REQUIRE_MESSAGE(config.has_value(), config.error().text);
    CHECK(config->limits.connections == 3);
    CHECK(config->limits.queues == 10);
    REQUIRE(config->listeners.size() == 2);
    CHECK(config->listeners[0].bind == ListenAddress(UnixAddress{"/b"}));
    CHECK(config->listeners[1].name == "c");
    REQUIRE(config->queues.size() == 1);
    CHECK(config->queues[0] == declared("q", Durability::memory, milliseconds(60'000)));
}

TEST_CASE("config: an error in conf.d names that file") {
    const TemporaryFolder folder;
    const std::string file = folder.write("mqd.toml", "[limits]\nqueues = 10\n");
    const std::string more = folder.write("conf.d/a.toml", "[limits]\nmessage_bytes = \"8MiB\"\n");
    const auto config = load_config(file);
    REQUIRE(!config);
    CHECK(config.error().text.find(more + ":2:17: limits.frame_bytes is 3MiB") == 0);
}

TEST_CASE("config: a file of the largest size is read, one byte more is refused") {
    const TemporaryFolder folder;
    const std::string line = "[limits]\nqueues = 10\n#";
    const std::string fits = line + std::string(mebibyte - line.size(), 'x');
    CHECK(load_config(folder.write("fits.toml", fits)).has_value());
    const auto larger = load_config(folder.write("larger.toml", fits + 'x'));
    REQUIRE(!larger);
    CHECK(larger.error().text.find("is larger than 1MiB") != std::string::npos);
}
