// mqctl export and import against a real daemon.

#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <functional>

#include "integration/mqctl_run.hpp"
#include "mqd/client.hpp"
#include "support/dice.hpp"

namespace mqd::test {
namespace {

// A message without what an import makes anew: its number, its time, its sender.
struct Content {
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;

    friend bool operator==(const Content&, const Content&) = default;
};

struct Fixture {
    DaemonProcess daemon{MQD_BIN};
    Mqctl mqctl{daemon.url()};
    std::string dump = daemon.folder() + "/dump.jsonl";

    Fixture() { daemon.start(); }

    [[nodiscard]] Client connect() const {
        auto client =
            Client::connect(daemon.url(), ConnectOptions{.client_name = {}, .timeout = patience});
        REQUIRE(client.has_value());
        return std::move(*client);
    }
    void publish(const std::string& queue, const std::vector<Content>& contents) const {
        Client client = connect();
        auto producer = client.producer(queue);
        REQUIRE(producer.has_value());
        for (const Content& content : contents) {
            std::vector<Header> headers;
            for (const auto& [key, value] : content.headers) {
                headers.push_back({key, value});
            }
            REQUIRE(producer->send(content.body, headers).has_value());
        }
        REQUIRE(producer->wait_all(patience).has_value());
    }
    [[nodiscard]] std::vector<Content> contents(const std::string& queue) const {
        Client client = connect();
        std::vector<Content> contents;
        PeekPage page{{}, MessageNumber(1), true};
        while (page.more) {
            auto next = client.peek(queue, page.next, 1000);
            REQUIRE(next.has_value());
            page = std::move(*next);
            for (PeekedMessage& message : page.messages) {
                contents.push_back({std::move(message.headers), std::move(message.body)});
            }
        }
        return contents;
    }
    // The files made beside the daemon's own: the dump, and what it is before it is complete.
    [[nodiscard]] std::vector<std::string> dumps() const {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(daemon.folder())) {
            const std::string name = entry.path().filename();
            if (name.starts_with("dump")) {
                names.push_back(name);
            }
        }
        return names;
    }
};

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

// The message numbers of lines of JSON.
std::vector<std::uint64_t> numbers_of(const std::string& lines) {
    constexpr std::string_view field = "\"number\":";
    std::vector<std::uint64_t> numbers;
    for (std::size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
        REQUIRE(lines.find('\n', at) != std::string::npos);
        numbers.push_back(std::stoull(lines.substr(lines.find(field, at) + field.size(), 20)));
    }
    return numbers;
}

std::vector<Content> small_messages(std::size_t count, std::size_t bytes = 4) {
    std::vector<Content> contents;
    for (std::size_t i = 1; i <= count; ++i) {
        contents.push_back({{}, std::to_string(i) + std::string(bytes, '.')});
    }
    return contents;
}

std::string random_bytes(Dice& dice, std::size_t count) {
    std::string bytes(count, '\0');
    for (char& byte : bytes) {
        byte = static_cast<char>(dice.below(256));
    }
    return bytes;
}

// --- There and back
// -----------------------------------------------------------------------------------

TEST_CASE("mqctl export: what it writes, import makes again") {
    const Fixture f;
    const std::uint64_t seed = Dice::new_seed();
    CAPTURE(seed);
    Dice dice(seed);
    constexpr std::size_t largest = 1024 * 1024;
    std::vector<Content> all{
        {{}, ""},
        {{{"type", "invoice"}, {"to", "a"}, {"to", "b"}}, "plain\n\"text\"\r\n"},
        {{{"a", "1"}, {"b", "2"}, {"a", "3"}}, "the order of headers"},
        {{{"k\xFF", "v"}, {"raw", "\x80\x81"}, {"empty", ""}}, std::string("\0\xFF\n", 3)},
        {{}, random_bytes(dice, largest)},
        {{}, std::string(largest, '\x01')},  // the longest line that a message can make
        {{{std::string(255, 'k'), random_bytes(dice, 60'000)}}, ""},
    };
    for (int i = 0; i < 300; ++i) {
        all.push_back({{{"i", std::to_string(i)}}, random_bytes(dice, dice.below(3000))});
    }
    for (const std::string kind : {"memory", "disk"}) {
        CAPTURE(kind);
        const std::string from = "from-" + kind;
        const std::string to = "to-" + kind;
        f.mqctl.must({"-q", "queue", "create", from, "--durability", kind});
        f.mqctl.must({"-q", "queue", "create", to, "--durability", kind});
        f.publish(from, all);
        const std::string lines = f.mqctl.must({"export", from});
        CHECK(f.mqctl.must({"import", to}, lines).empty());
        CHECK((f.contents(to) == all));
        CHECK((f.contents(from) == all));
    }
}

TEST_CASE("mqctl export: fifty thousand messages through a file, in memory and on the disk") {
    const Fixture f;
    constexpr std::size_t count = 50'000;
    const std::vector<Content> all = small_messages(count);
    for (const std::string kind : {"memory", "disk"}) {
        CAPTURE(kind);
        const std::string from = "from-" + kind;
        const std::string to = "to-" + kind;
        f.mqctl.must({"-q", "queue", "create", from, "--durability", kind});
        f.mqctl.must({"-q", "queue", "create", to, "--durability", kind});
        f.publish(from, all);
        const MqctlEnd exported = f.mqctl.run({"export", from, "-f", f.dump, "--force"});
        CHECK(exported.exit == 0);
        CHECK(exported.out.empty());
        CHECK(mentions(exported.err, "50,000 messages, "));
        const MqctlEnd imported = f.mqctl.run({"import", to, "-f", f.dump});
        CHECK(imported.exit == 0);
        CHECK(imported.out.empty());
        CHECK(mentions(imported.err, "50,000 messages, "));
        CHECK((f.contents(to) == all));
    }
}

TEST_CASE("mqctl export: an empty queue is an empty file, and imports as nothing") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "orders"});
    CHECK(f.mqctl.must({"export", "orders"}).empty());
    CHECK(f.mqctl.must({"export", "orders", "-f", f.dump}).empty());
    CHECK(f.dumps() == std::vector<std::string>{"dump.jsonl"});
    CHECK(f.mqctl.must({"import", "orders", "-f", f.dump}).empty());
    CHECK(f.mqctl.queue_number("orders", "next_number") == 1);
}

TEST_CASE("mqctl export: a queue that does not exist is exit 5, with the one that was meant") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "orders"});
    for (const std::string command : {"export", "import"}) {
        const MqctlEnd end = f.mqctl.run({command, "ordesr", "-f", f.dump});
        CHECK(end.exit == 5);
        CHECK(mentions(end.err, "did you mean \"orders\"?"));
        CHECK(f.mqctl.run({command, "no name"}).exit == 2);
    }
    CHECK(f.dumps().empty());
}

// --- Others at the queue
// -----------------------------------------------------------------------------------

TEST_CASE("mqctl export: leased messages are in it, in their place, and stay leased") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "orders"});
    f.publish("orders", small_messages(100));
    Client client = f.connect();
    auto consumer = client.consumer("orders", {.window_messages = 10, .messages_max = 10});
    REQUIRE(consumer.has_value());
    std::vector<MessageNumber> held;
    while (held.size() < 10) {
        const auto message = consumer->receive(patience);
        REQUIRE(message.has_value());
        REQUIRE(message->has_value());
        held.push_back((*message)->number);
    }
    REQUIRE(consumer->ack_confirmed({MessageNumber(1), 5}, patience).has_value());

    const std::string lines = f.mqctl.must({"export", "orders"});
    const std::vector<std::uint64_t> numbers = numbers_of(lines);
    REQUIRE(numbers.size() == 95);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        REQUIRE(numbers[i] == i + 6);
    }
    CHECK(lines.starts_with(R"({"id":"orders:1:6","queue":"orders","number":6,"attempt":1,)"));
    CHECK_FALSE(mentions(lines, "\"state\""));
    CHECK(f.mqctl.queue_number("orders", "leased") == 5);
    CHECK(f.mqctl.queue_number("orders", "ready") == 90);
    const auto settled = consumer->ack_confirmed({MessageNumber(6), 5}, patience);
    REQUIRE(settled.has_value());
    CHECK(settled->settled == 5);
}

// The export stands in the middle, because nobody reads what it writes, while half of the messages
// behind it are acked, the others given back, and more published.
TEST_CASE("mqctl export: what lives all along is in it, whoever consumes meanwhile") {
    const Fixture f;
    constexpr std::uint64_t count = 20'000;
    f.mqctl.must({"-q", "queue", "create", "orders", "--memory"});
    f.publish("orders", small_messages(count, 1000));
    MqctlProcess process(f.mqctl.url(), {"export", "orders"});
    const auto first = process.read_line();
    REQUIRE(first);
    {
        Client client = f.connect();
        auto consumer =
            client.consumer("orders", {.window_messages = count, .window_bytes = 64 * 1024 * 1024});
        REQUIRE(consumer.has_value());
        for (std::uint64_t i = 1; i <= count; ++i) {
            const auto message = consumer->receive(patience);
            REQUIRE(message.has_value());
            REQUIRE(message->has_value());
            if ((*message)->number.value() % 2 != 0) {
                REQUIRE(consumer->ack((*message)->number).has_value());
            }
        }
        REQUIRE(client.close(patience).has_value());
    }
    f.publish("orders", small_messages(100));
    const MqctlEnd end = process.wait();
    CHECK(end.exit == 0);
    std::vector<std::uint64_t> numbers = numbers_of(*first + '\n' + end.out);
    CHECK(std::adjacent_find(numbers.begin(), numbers.end(), std::greater_equal<>()) ==
          numbers.end());
    CHECK(numbers.back() == count);
    constexpr std::uint64_t beyond_the_standstill = count / 2;
    CHECK(std::none_of(numbers.begin(), numbers.end(), [](std::uint64_t number) {
        return number > beyond_the_standstill && number % 2 != 0;
    }));
    std::erase_if(numbers, [](std::uint64_t number) { return number % 2 != 0; });
    CHECK(numbers.size() == count / 2);
}

// --- Endings
// ------------------------------------------------------------------------------------------

TEST_CASE("mqctl export: a reader that goes away ends it") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "orders", "--memory"});
    f.publish("orders", small_messages(20'000, 200));
    MqctlProcess process(f.mqctl.url(), {"export", "orders"});
    REQUIRE(process.read_line());
    process.close_output();
    const MqctlEnd end = process.wait();
    CHECK(end.exit == 1);
    CHECK(mentions(end.err, "cannot write to standard output: Broken pipe"));
    CHECK(mentions(end.err, "not all of it"));
    CHECK(f.mqctl.queue_number("orders", "ready") == 20'000);

    CHECK(f.mqctl.run({"export", "orders"}, {}, ">&-").exit == 1);
    CHECK(f.mqctl.run({"export", "orders", "-q", "-f", f.dump}, {}, ">&-").exit == 0);
}

TEST_CASE("mqctl export: a signal ends it while its reader is slow") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "orders", "--memory"});
    f.publish("orders", small_messages(20'000, 200));
    for (const auto& [signal, exit] : {std::pair(SIGINT, 130), std::pair(SIGTERM, 143)}) {
        MqctlProcess process(f.mqctl.url(), {"export", "orders"});
        REQUIRE(process.read_line());
        process.send_signal(signal);
        const MqctlEnd end = process.wait();
        CHECK(end.exit == exit);
        CHECK(mentions(end.err, "not all of it"));
    }
}

TEST_CASE(
    "mqctl export: a file that is there is replaced with --force only, and when all went well") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "orders"});
    f.publish("orders", small_messages(1));
    write_file(f.dump, "precious");
    const MqctlEnd refused = f.mqctl.run({"export", "orders", "-f", f.dump});
    CHECK(refused.exit == 1);
    CHECK(mentions(refused.err, f.dump + " is there already (--force replaces it)"));
    CHECK(f.mqctl.run({"export", "none", "-f", f.dump, "--force"}).exit == 5);
    CHECK(read_file(f.dump) == "precious");
    f.mqctl.must({"export", "orders", "-f", f.dump, "--force"});
    CHECK(read_file(f.dump) == f.mqctl.must({"export", "orders"}));
    CHECK(f.dumps() == std::vector<std::string>{"dump.jsonl"});
    CHECK(f.mqctl.run({"export", "orders", "-f", f.daemon.folder() + "/none/x"}).exit == 1);
}

TEST_CASE("mqctl import: a bad line is named with its file, and nothing behind it is published") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "orders"});
    const std::string good = "{\"body\":\"x\"}\n";
    write_file(f.dump, good + good + "{\"body\":\n" + good);
    const MqctlEnd end = f.mqctl.run({"import", "orders", "-f", f.dump});
    CHECK(end.exit == 9);
    CHECK(
        mentions(end.err, "importing into \"orders\": " + f.dump + ": line 3: not a JSON object"));
    CHECK(mentions(end.err, "2 messages are confirmed"));
    CHECK(f.mqctl.queue_number("orders", "ready") == 2);

    const MqctlEnd piped = f.mqctl.run({"import", "orders"}, good + "{\"body\":1}\n" + good);
    CHECK(piped.exit == 9);
    CHECK(mentions(piped.err, "line 2: "));
    CHECK(f.mqctl.queue_number("orders", "ready") == 3);

    write_file(f.dump, "none\n" + good);
    const MqctlEnd first = f.mqctl.run({"import", "orders", "-f", f.dump});
    CHECK(first.exit == 2);
    CHECK(mentions(first.err, "0 messages are confirmed"));
    const std::string missing = f.daemon.folder() + "/none";
    const MqctlEnd none = f.mqctl.run({"import", "orders", "-f", missing});
    CHECK(none.exit == 1);
    CHECK(mentions(none.err, "cannot read " + missing));
    CHECK(f.mqctl.queue_number("orders", "ready") == 3);
}

TEST_CASE("mqctl import: a message that the daemon does not take is named with its line") {
    const Fixture f;
    f.mqctl.must({"-q", "queue", "create", "orders"});
    const std::string good = "{\"body\":\"x\"}\n";
    write_file(f.dump, good + R"({"body":")" + std::string(1024 * 1024 + 1, 'x') + "\"}\n" + good);
    const MqctlEnd end = f.mqctl.run({"import", "orders", "-f", f.dump});
    CHECK(end.exit == 9);
    CHECK(mentions(end.err, f.dump + ": line 2: "));
    CHECK(f.mqctl.queue_number("orders", "ready") == 1);
}

}  // namespace
}  // namespace mqd::test
