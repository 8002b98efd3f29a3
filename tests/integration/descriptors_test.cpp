// A daemon without a free descriptor. What it has open it goes on with; what it would have to open
// waits, and is neither damage nor lost.

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "mqd/client.hpp"
#include "net/raw_connection.hpp"
#include "support/daemon_process.hpp"
#include "support/sanitized.hpp"

namespace mqd::test {

namespace {

constexpr std::size_t body_bytes = 4'000;
constexpr std::uint64_t messages = 1'500;  // several times what the memory below holds

const char* const backlog_in_segments =
    "[storage]\njournal_file_bytes = \"2MiB\"\njournal_bytes = \"32MiB\"\n"
    "memory = \"1MiB\"\nsegment_bytes = \"256KiB\"\n"
    "[limits]\nmessage_bytes = \"64KiB\"\nframe_bytes = \"256KiB\"\nqueues = 100\n"
    "[queue.orders]\ndurability = \"disk\"\nlease = \"1h\"\n"
    "[queue.memory]\ndurability = \"memory\"\n";

std::string body_of(std::uint64_t number) {
    std::string body = std::to_string(number);
    body.resize(body_bytes, '.');
    return body;
}

Client connect(const DaemonProcess& daemon) {
    auto client = Client::connect(daemon.url());
    REQUIRE(client);
    return std::move(*client);
}

std::uint64_t figure(Client& client, std::string_view name) {
    const auto status = client.status();
    REQUIRE(status);
    const auto item = std::find_if(status->begin(), status->end(),
                                   [&](const StatusItem& one) { return one.name == name; });
    REQUIRE(item != status->end());
    return item->value;
}

std::size_t count_lines(const std::string& text, const std::string& with) {
    std::size_t count = 0;
    for (std::size_t at = text.find(with); at != std::string::npos; at = text.find(with, at + 1)) {
        ++count;
    }
    return count;
}

// UBSan looks through a pipe whether it may read an object, and without one takes it for none; and
// LeakSanitizer needs descriptors at the end.
bool skipped_for_sanitizer() {
    if (sanitized) {
        MESSAGE("skipped: the sanitizers need descriptors of their own");
    }
    return sanitized;
}

// While it exists, the process gets no new descriptor: stdin, stdout and stderr have the three
// numbers that it may still use.
class NoDescriptors {
  public:
    explicit NoDescriptors(pid_t pid) : pid_(pid) {
        REQUIRE(::prlimit(pid_, RLIMIT_NOFILE, nullptr, &before_) == 0);
        const rlimit none{3, before_.rlim_max};
        REQUIRE(::prlimit(pid_, RLIMIT_NOFILE, &none, nullptr) == 0);
    }
    NoDescriptors(const NoDescriptors&) = delete;
    NoDescriptors& operator=(const NoDescriptors&) = delete;
    ~NoDescriptors() { ::prlimit(pid_, RLIMIT_NOFILE, &before_, nullptr); }

  private:
    pid_t pid_;
    rlimit before_{};
};

// Messages first … last wait in the queue.
void publish(Client& client, std::uint64_t first, std::uint64_t last) {
    auto producer = client.producer("orders");
    REQUIRE(producer);
    for (std::uint64_t i = first; i <= last; ++i) {
        CAPTURE(i);
        auto published = producer->publish(body_of(i));
        // The journal is making another file, or the segments are behind.
        REQUIRE(eventually([&] {
            if (!published && producer->resume()) {
                published = producer->publish(body_of(i));
            }
            return published.has_value();
        }));
    }
}

void take(Consumer& consumer, std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t i = first; i <= last; ++i) {
        CAPTURE(i);
        const auto message = consumer.receive(patience);
        REQUIRE(message);
        REQUIRE(message->has_value());
        REQUIRE((*message)->body == body_of(i));
        const auto acked = consumer.ack_confirmed({(*message)->number, 1}, patience);
        REQUIRE_MESSAGE(acked, acked.error().text);
        REQUIRE(acked->settled == 1);
    }
}

// Takes and acks what is delivered without waiting, from message 1 on. How many that were.
std::uint64_t take_what_is_there(Consumer& consumer) {
    std::uint64_t taken = 0;
    while (true) {
        const auto message = consumer.receive(Timeout(0));
        REQUIRE(message);
        if (!message->has_value()) {
            return taken;
        }
        REQUIRE((*message)->body == body_of(++taken));
        REQUIRE(consumer.ack_confirmed({(*message)->number, 1}, patience));
    }
}

void expect_no_damage(Client& client, const DaemonProcess& daemon) {
    CHECK(figure(client, "unreadable_messages") == 0);
    const std::string log = daemon.errors();
    CHECK_MESSAGE(log.find("cannot be read") == std::string::npos, log);
    CHECK_MESSAGE(log.find("damage") == std::string::npos, log);
}

}  // namespace

TEST_CASE("descriptors: without a free one an old backlog waits, and nothing of it is lost") {
    if (skipped_for_sanitizer()) {
        return;
    }
    const std::string refused_connection = "accept failed";
    DaemonProcess daemon(MQD_BIN, {.config = backlog_in_segments});
    daemon.start();
    Client client = connect(daemon);
    Client other = connect(daemon);
    publish(client, 1, messages);
    REQUIRE(eventually([&] { return figure(client, "pages") > 0; }));
    auto in_memory = other.producer("memory");
    auto producer = other.producer("orders");
    REQUIRE(in_memory);
    REQUIRE(producer);
    std::optional<NoDescriptors> lack(std::in_place, daemon.pid());
    const std::uint64_t pages_read = figure(client, "pages_read");
    auto consumer = client.consumer("orders");
    REQUIRE_MESSAGE(consumer, consumer.error().text, daemon.errors());
    // Somebody who comes now waits, and accepting is tried ten times a second, not for ever.
    const auto begin = std::chrono::steady_clock::now();
    const auto cpu_before = cpu_time(daemon.pid());
    const RawConnection waiting(daemon.socket_path());
    REQUIRE(eventually([&] { return count_lines(daemon.errors(), refused_connection) >= 12; }));
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - begin);
    const auto tries = count_lines(daemon.errors(), refused_connection);
    CHECK(static_cast<std::int64_t>(tries) <= took.count() / 50 + 2);
    MESSAGE(tries, " tries to accept in ", took.count(), " ms, ",
            (cpu_time(daemon.pid()) - cpu_before).count(), " ms of CPU");
    // That was time enough to try the next page twice, too. What is in memory was delivered.
    const std::uint64_t early = take_what_is_there(*consumer);
    CHECK(early < messages / 2);
    CHECK(figure(client, "pages_read") == pages_read);
    expect_no_damage(client, daemon);
    // What needs no new file goes on; in the end publishes are refused, and nothing else.
    CHECK(in_memory->publish("does not mind"));
    std::uint64_t last = messages;
    Result<Published> published = producer->publish(body_of(last + 1));
    for (; published && last < 10 * messages; published = producer->publish(body_of(last + 1))) {
        ++last;
    }
    REQUIRE_FALSE(published);
    const ErrorCode refused = published.error().code;
    CHECK_MESSAGE((refused == ErrorCode::disk_full || refused == ErrorCode::journal_full),
                  published.error().text);
    CHECK(last > messages);
    CHECK(take_what_is_there(*consumer) == 0);
    expect_no_damage(client, daemon);
    CHECK(daemon.alive());

    // There are descriptors again: all goes on by itself.
    lack.reset();
    take(*consumer, early + 1, messages / 2);
    CHECK(figure(client, "pages_read") > pages_read);
    expect_no_damage(client, daemon);
    CHECK(eventually([&] { return Client::connect(daemon.url()).has_value(); }));
    REQUIRE(eventually([&] {
        return producer->resume().has_value() && producer->publish(body_of(last + 1)).has_value();
    }));
    ++last;
    daemon.restart();
    Client after = connect(daemon);
    auto rest = after.consumer("orders");
    REQUIRE(rest);
    take(*rest, messages / 2 + 1, last);
    const auto queue = after.show_queue("orders");
    REQUIRE(queue);
    CHECK(queue->ready == 0);
    expect_no_damage(after, daemon);
}

TEST_CASE("descriptors: with too few of them a start fails, and does not call it damage") {
    if (skipped_for_sanitizer()) {
        return;
    }
    constexpr int failure = 1;
    constexpr int cannot_listen = 7;
    DaemonProcess daemon(MQD_BIN, {.config = backlog_in_segments});
    daemon.start();
    {
        Client client = connect(daemon);
        publish(client, 1, messages);
    }
    daemon.kill();
    int failed_starts = 0;
    for (int descriptors = 6; descriptors < 100; ++descriptors) {
        CAPTURE(descriptors);
        DaemonProcess few(
            MQD_BIN,
            {.config = backlog_in_segments,
             .wrapper = {"sh", "-c", "ulimit -n " + std::to_string(descriptors) + "; exec \"$@\"",
                         "-"},
             .data_folder = daemon.data_folder()});
        few.launch();
        if (few.wait_serving()) {
            CHECK(few.stop() == ProcessEnd{0, 0});
            break;
        }
        const auto end = few.wait();
        REQUIRE(end);
        const std::string log = few.errors();
        CHECK_MESSAGE((end->code == failure || end->code == cannot_listen), log);
        CHECK_MESSAGE(log.find("damage") == std::string::npos, log);
        ++failed_starts;
    }
    CHECK(failed_starts > 2);
    daemon.start();
    Client client = connect(daemon);
    auto consumer = client.consumer("orders");
    REQUIRE(consumer);
    take(*consumer, 1, messages);
    expect_no_damage(client, daemon);
}

}  // namespace mqd::test
