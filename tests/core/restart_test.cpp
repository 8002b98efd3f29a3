// What is there after a restart: all that was promised, under the numbers that it had.

#include <cerrno>
#include <set>

#include "core/core_fixture.hpp"
#include "support/rounds.hpp"

namespace mqd::core::test {
namespace {

using std::string;
using wire::FrameType;

struct Restarting : ServingFixture {
    WireClient* client = nullptr;

    WireClient& open(std::string_view queue) {
        client = &connect();
        (void)client->open_producer(queue);
        return *client;
    }
    void publish(std::uint64_t count, const string& body = "x") {
        for (std::uint64_t line = 1; line <= count; ++line) {
            client->publish(line, {body});
        }
        daemon.settle();
        (void)client->take();
    }
    // All durable state, as text.
    string state() {
        string text;
        for (const auto& [name, queue] : daemon.core().engine().queues()) {
            if (!queue->durable()) {
                continue;
            }
            text += name + ':' + std::to_string(queue->id().value()) + " next " +
                    std::to_string(queue->next_number().value()) + '\n';
            for (const engine::LiveRun& run : queue->live_runs()) {
                text += "  " + std::to_string(run.range.first.value()) + '+' +
                        std::to_string(run.range.count) + " attempts " +
                        std::to_string(run.attempts) + '\n';
            }
            queue->peek(MessageNumber(0), [&](const engine::Extent& extent, MessageRange range,
                                              std::uint32_t, engine::LiveState) {
                text += wire::as_text(static_cast<const Block&>(extent).slice(range));
                return true;
            });
        }
        return text;
    }
    std::uint64_t deliver_all(std::string_view queue) {
        WireClient& consumer = connect();
        (void)consumer.open_consumer(queue);
        std::uint64_t count = 0;
        for (const Received& frame : consumer.take()) {
            count += frame.as<wire::Deliver>().count;
        }
        return count;
    }
};

TEST_CASE_FIXTURE(Restarting, "restart: the durable state is the same") {
    create("d", Durability::disk);
    create("w", Durability::written);
    create("m", Durability::memory);
    for (const char* name : {"d", "w"}) {
        open(name);
        publish(20, name);
        (void)client->open_consumer(name, 2, 10);
        client->ack(2, 3, 1);
        client->settle(FrameType::nack, {{MessageNumber(7), 1}});
        daemon.settle_for(std::chrono::milliseconds(2000));
        clients.clear();
        daemon.settle_for(std::chrono::milliseconds(2000));
    }
    const string before = state();
    SUBCASE("clean stop") {
        stop();
    }
    SUBCASE("clean stop and power loss") {
        stop();
        lose_power();
    }
    SUBCASE("kill") {
        kill();
    }
    SUBCASE("power loss") {
        lose_power();
    }
    start();
    const string after = state();
    // After anything but a clean stop, `written` queues leave numbers out.
    const auto at = before.find("w:");
    CHECK(after.substr(0, at) == before.substr(0, at));
    CHECK(after.substr(after.find("\n  ", at)) == before.substr(before.find("\n  ", at)));
    const QueueId id = queue("m").id();
    CHECK(id > queue("w").id());
    stop();
    start();
    CHECK(queue("m").id() > id);
}

TEST_CASE_FIXTURE(Restarting, "restart: delivery counts survive, deliveries of a stop are free") {
    create("q", Durability::disk);
    open("q");
    publish(3);
    (void)client->open_consumer("q", 2);
    CHECK(client->next<wire::Deliver>().attempt == 1);
    std::uint32_t expected = 0;
    SUBCASE("kill") {
        daemon.settle_for(std::chrono::milliseconds(100));
        kill();
        expected = 2;
    }
    SUBCASE("client went first") {
        clients.clear();
        stop();
        expected = 2;
    }
    SUBCASE("stop") {
        stop();
        expected = 1;
    }
    SUBCASE("stop, with many state groups behind it") {
        stop();
        for (int i = 0; i < 30; ++i) {
            start();
            stop();
        }
        expected = 1;
    }
    start();
    WireClient& other = connect();
    (void)other.open_consumer("q");
    CHECK(other.next<wire::Deliver>().attempt == expected);
}

TEST_CASE_FIXTURE(Restarting, "restart: what was confirmed at written survives the process") {
    create("q", Durability::written);
    open("q");
    client->publish(1, {"a"});
    daemon.begin_turn();
    daemon.commit().run_work();
    daemon.commit().run_done();
    daemon.end_turn();
    CHECK(client->next<wire::Confirm>().durability == Durability::written);
    kill();
    start();
    CHECK(deliver_all("q") == 1);
}

TEST_CASE_FIXTURE(Restarting, "restart: a number that was told early is never used again") {
    create("q", Durability::disk);
    open("q");
    client->publish(1, {"x"}, Durability::memory);
    daemon.settle();
    std::uint64_t next_line = 2;
    SUBCASE("by the process that wrote it down") {}
    SUBCASE("from the state group of a later file") {
        const auto file = daemon.core().journal().current_file();
        for (; daemon.core().journal().current_file() == file; ++next_line) {
            REQUIRE(next_line < 1000);
            client->publish(next_line, {string(20'000, 'x')});
            daemon.settle();
        }
        lose_power();
        start();
        open("q");
        client->publish(1, {"x"}, Durability::memory);
        daemon.settle();
        next_line = 2;
    }
    (void)client->take();
    client->publish(next_line, {"seen"}, Durability::memory);
    const MessageNumber seen = client->next<wire::Confirm>()[0].first_number;
    clients.clear();
    daemon.end();
    disk.crash(1, {0, 100});  // everything that was not synced is gone
    start();
    CHECK(queue("q").next_number() > seen);
}

// A clean stop followed by a start and a power loss must not look like a clean stop.
TEST_CASE_FIXTURE(Restarting, "restart: a number that was seen is never used again") {
    create("q", Durability::written);
    open("q");
    publish(3);
    std::uint64_t line = 4;
    SUBCASE("after a clean stop") {
        stop();
        start();
        open("q");
        line = 1;
    }
    SUBCASE("without") {}
    client->publish(line, {"seen"});
    daemon.begin_turn();
    daemon.commit().run_work();
    daemon.commit().run_done();
    daemon.end_turn();
    const MessageNumber seen = client->next<wire::Confirm>()[0].first_number;
    clients.clear();
    daemon.end();
    disk.crash(1, {0, 100});  // everything that was not synced is gone
    start();
    CHECK(queue("q").next_number() > seen);
}

TEST_CASE_FIXTURE(Restarting, "restart: a deleted queue's id is not used again") {
    create("q", Durability::disk);
    const QueueId id = queue("q").id();
    WireClient& admin = connect();
    admin.ask(FrameType::queue_delete, "q");
    daemon.settle();
    kill();
    start();
    CHECK(daemon.core().engine().find("q") == nullptr);
    create("q", Durability::disk);
    CHECK(queue("q").id() > id);
}

TEST_CASE("restart: a message that is stuck is carried through many recyclings") {
    CoreFixture fixture;
    fixture.options.journal = {64 * 1024, 4 * 64 * 1024};
    fixture.options.queues_max = 5;
    fixture.start();
    fixture.create("stuck", Durability::disk);
    fixture.create("flow", Durability::disk);
    WireClient& client = fixture.connect();
    (void)client.open_producer("stuck", 1);
    client.publish(1, {"first", "stuck"});
    fixture.daemon.settle();
    (void)client.open_producer("flow", 3);
    (void)client.open_consumer("flow", 2);
    for (std::uint64_t line = 1; line <= 1500; ++line) {
        client.publish(line, {string(900, 'x')}, Durability::unspecified, 3);
        fixture.daemon.settle();
        client.ack(line);
        fixture.daemon.settle_for(std::chrono::milliseconds(10));
        for (const Received& frame : client.take()) {
            REQUIRE(frame.header.type != FrameType::refuse);
        }
        if (line % 300 == 0) {
            CHECK(fixture.daemon.core().journal().figures().files <= 4);
        }
    }
    CHECK(fixture.daemon.core().journal().oldest_file().value() > 10);
    CHECK(fixture.queue("flow").live() == 0);
    fixture.lose_power();
    fixture.start();
    WireClient& other = fixture.connect();
    (void)other.open_consumer("stuck");
    fixture.daemon.settle();  // it is read from its segment
    const auto delivery = other.next<wire::Deliver>();
    CHECK(delivery.first_number == MessageNumber(1));
    CHECK(bodies_of(delivery) == std::vector<string>{"first", "stuck"});
}

// --- errors of the disk

// Publishes one message at a time, and acks every third, until a call of the disk fails; then power
// fails, and the store is opened again. The body of each message is its number.
class DiskErrorRun : CoreFixture {
  public:
    using Disk = mqd::test::SimDisk;

    DiskErrorRun() {
        options.journal = {64 * 1024, 4 * 64 * 1024};
        options.queues_max = 5;
        start();
        create("q", Durability::disk);
        client_ = &connect();
        (void)client_->open_producer("q");
        (void)client_->open_consumer("q");
    }

    void work_until_failure(Disk::Call call, Disk::Failure failure) {
        disk.fail(call, failure);
        const std::uint64_t published_max = 200 + failure.nth;  // each takes a call or more
        while (!daemon.core().failure() && published_ < published_max) {
            ++published_;
            client_->publish(published_, {std::to_string(published_)});
            daemon.settle();
            take();
        }
        REQUIRE(daemon.core().failure().has_value());
        CHECK(daemon.core().failure()->code == ErrorCode::io_error);
    }

    // Fail-stop: nothing is said any more, whatever is asked and however long one waits.
    void expect_silence() {
        client_->publish(published_ + 1, {"after the failure"});
        client_->ack(1, published_, 77);
        daemon.settle_for(std::chrono::milliseconds(500));
        CHECK(client_->silent());
    }

    // What was confirmed is there, but for what was acked; what was settled is not.
    void lose_power_and_look(std::uint64_t seed, Disk::CrashOdds odds) {
        clients.clear();
        daemon.end();
        disk.heal();
        disk.crash(seed, odds);
        start();
        WireClient& consumer = connect();
        (void)consumer.open_consumer("q");
        daemon.settle();  // the first may be in a segment
        std::set<std::uint64_t> there;
        for (const Received& frame : consumer.take()) {
            const auto delivery = frame.as<wire::Deliver>();
            std::uint64_t number = delivery.first_number.value();
            for (const string& body : bodies_of(delivery)) {
                CHECK(body == std::to_string(number));
                there.insert(number++);
            }
        }
        for (std::uint64_t number = 1; number <= published_; ++number) {
            CAPTURE(number);
            if (number <= confirmed_ && !acked_.contains(number)) {
                CHECK(there.contains(number));
            } else if (settled_.contains(number)) {
                CHECK_FALSE(there.contains(number));
            }
        }
        CHECK((there.empty() || *there.rbegin() <= published_));
    }

  private:
    void take() {
        for (const Received& frame : client_->take()) {
            if (frame.header.type == FrameType::confirm) {
                confirmed_ += frame.as<wire::Confirm>()[0].count;
            } else if (frame.header.type == FrameType::settled) {
                CHECK(frame.as<wire::Settled>().settled == 1);
                settled_.insert(frame.header.correlation.value());
            } else if (const auto number = frame.as<wire::Deliver>().first_number.value();
                       number % 3 == 0) {
                acked_.insert(number);
                client_->ack(number, 1, static_cast<std::uint32_t>(number));
            }
        }
    }

    WireClient* client_ = nullptr;
    std::uint64_t published_ = 0;
    std::uint64_t confirmed_ = 0;
    std::set<std::uint64_t> acked_;
    std::set<std::uint64_t> settled_;
};

// MQD_IO_ERRORS=500 goes further.
TEST_CASE("restart: a failed write or sync ends it, and the durable prefix is there") {
    using Disk = mqd::test::SimDisk;
    // All of what was not synced is gone, or all is there, or some.
    constexpr Disk::CrashOdds odds[] = {{0, 100}, {100, 0}, {}};
    for (const auto call : {Disk::Call::write, Disk::Call::sync}) {
        for (const bool sticky : {false, true}) {
            for (std::uint64_t nth = 1; nth <= mqd::test::io_errors(); ++nth) {
                for (const Disk::CrashOdds& of : odds) {
                    CAPTURE(nth);
                    CAPTURE(sticky);
                    CAPTURE(of.keep);
                    DiskErrorRun run;
                    run.work_until_failure(call, {nth, sticky, EIO});
                    run.expect_silence();
                    run.lose_power_and_look(nth, of);
                }
            }
        }
    }
}

}  // namespace
}  // namespace mqd::core::test
