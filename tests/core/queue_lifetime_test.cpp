// Queues that end by themselves: unused ones, and temporary ones.

#include "core/core_fixture.hpp"

namespace mqd::core::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Lifetime : public CoreFixture {
  protected:
    wire::QueueCreate frame_of(std::string_view name, Durability durability,
                               std::uint64_t idle_ms) {
        wire::QueueCreate frame;
        frame.queue = name;
        frame.options.durability = durability;
        frame.options.expire_idle_ms = idle_ms;
        return frame;
    }
    void create_idle(std::string_view name, Durability durability, std::uint64_t idle_ms) {
        WireClient& client = connect();
        client.send(frame_of(name, durability, idle_ms), 0, 1);
        daemon.settle();
        CHECK(client.next<wire::QueueInfo>().options.expire_idle_ms == idle_ms);
        clients.pop_back();
    }
    [[nodiscard]] bool there(std::string_view name) {
        return daemon.core().engine().find(name) != nullptr;
    }
    wire::QueueCreate temporary(std::string_view name) {
        wire::QueueCreate frame;
        frame.queue = name;
        frame.options.temporary = std::uint8_t{1};
        return frame;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Lifetime, "expire_idle: an unused queue goes, at its time and not before") {
    start();
    create("stays", Durability::disk);
    for (const Durability durability : {Durability::memory, Durability::disk}) {
        CAPTURE(durability);
        create_idle("q", durability, 10'000);
        daemon.settle_for(milliseconds(9'900));
        CHECK(there("q"));
        daemon.settle_for(milliseconds(200));
        CHECK_FALSE(there("q"));
        CHECK(there("stays"));
    }
    CHECK(daemon.core().take_notices().size() == 2);
    CHECK(daemon.core().take_complaints().empty());
    kill();
    start();
    CHECK_FALSE(there("q"));
    CHECK(there("stays"));
}

TEST_CASE_FIXTURE(Lifetime, "expire_idle: handles, messages and looks into it are use") {
    start();
    create_idle("q", Durability::disk, 10'000);
    WireClient& client = connect();
    (void)client.open_producer("q");
    daemon.settle_for(seconds(30));
    CHECK(there("q"));
    client.publish(1, {"a"});
    client.send(wire::CloseHandle{}, 1);
    daemon.settle_for(seconds(30));
    CHECK(there("q"));  // there is a message in it
    (void)client.open_consumer("q");
    daemon.settle();
    client.ack(1);
    daemon.settle_for(seconds(30));
    CHECK(there("q"));  // a consumer waits
    client.send(wire::CloseHandle{}, 2);
    for (int i = 0; i < 5; ++i) {
        daemon.settle_for(milliseconds(9'000));
        client.send(wire::Peek{"q", MessageNumber(1), 1}, 0, 3);
    }
    CHECK(there("q"));
    for (int i = 0; i < 5; ++i) {  // who only asks how it is does not use it
        daemon.settle_for(milliseconds(1'500));
        client.ask(wire::FrameType::queue_show, "q");
    }
    CHECK(there("q"));
    daemon.settle_for(milliseconds(2'600));
    CHECK_FALSE(there("q"));
}

TEST_CASE_FIXTURE(Lifetime, "expire_idle: after the last message went otherwise, its time begins") {
    start();
    create_idle("q", Durability::disk, 80'000);
    WireClient& client = connect();
    (void)client.open_producer("q");
    client.publish(1, {"a"});
    client.send(wire::CloseHandle{}, 1);
    daemon.settle_for(seconds(200));
    client.ask(wire::FrameType::queue_purge, "q");
    daemon.settle_for(seconds(79));
    CHECK(there("q"));
    daemon.settle_for(seconds(12));  // an eighth later at most
    CHECK_FALSE(there("q"));
}

TEST_CASE_FIXTURE(Lifetime, "expire_idle: a start begins anew, an update changes it") {
    start();
    create_idle("d", Durability::disk, 10'000);
    create_idle("m", Durability::memory, 10'000);
    daemon.settle_for(seconds(9));
    kill();
    start();
    daemon.settle_for(seconds(9));
    CHECK(there("d"));
    CHECK(there("m"));
    WireClient& client = connect();
    wire::QueueUpdate update;
    update.queue = "d";
    update.options.expire_idle_ms = 0;
    client.send(update, 0, 1);
    daemon.settle_for(seconds(2));
    CHECK_FALSE(there("m"));
    daemon.settle_for(seconds(100));
    CHECK(there("d"));
    update.options.expire_idle_ms = 500;
    client.send(update, 0, 1);
    daemon.settle_for(milliseconds(600));
    CHECK_FALSE(there("d"));
    update.options.expire_idle_ms = UINT64_MAX;
    create("e", Durability::disk);
    update.queue = "e";
    (void)client.take();
    client.send(update, 0, 2);
    client.expect_error(ErrorCode::bad_option, 2);
}

TEST_CASE_FIXTURE(Lifetime, "temporary: it goes with its session, whoever else uses it") {
    start();
    WireClient& owner = connect();
    WireClient& other = connect();
    owner.send(temporary("t"), 0, 1);
    daemon.settle();
    const auto info = owner.next<wire::QueueInfo>();
    CHECK(info.durability == Durability::memory);
    CHECK(info.options.temporary == std::uint8_t{1});
    owner.send(temporary("t"), 0, 1);
    daemon.settle();
    CHECK(owner.next<wire::QueueInfo>().incarnation == info.incarnation);
    other.send(temporary("t"), 0, 5);
    other.expect_error(ErrorCode::queue_exists, 5);
    (void)other.open_producer("t");
    other.publish(1, {"a"});
    (void)other.open_consumer("t");
    daemon.settle();
    CHECK(bodies_of(other.await<wire::Deliver>()) == std::vector<std::string>{"a"});
    owner.end();
    daemon.settle();
    CHECK_FALSE(there("t"));
    CHECK(other.await<wire::ErrorFrame>().code == ErrorCode::queue_deleted);
    other.send(temporary("t"), 0, 5);
    daemon.settle();
    CHECK(other.await<wire::QueueInfo>().incarnation > info.incarnation);
}

TEST_CASE_FIXTURE(Lifetime,
                  "temporary: a session that ends before it is made, and one that deletes it") {
    start();
    WireClient& owner = connect();
    owner.send(temporary("t"), 0, 1);
    CHECK_FALSE(there("t"));  // on its way to the disk
    owner.end();
    daemon.settle();
    CHECK_FALSE(there("t"));
    WireClient& second = connect();
    second.send(temporary("t"), 0, 1);
    daemon.settle();
    (void)second.next<wire::QueueInfo>();
    second.ask(wire::FrameType::queue_delete, "t");
    daemon.settle();
    (void)second.next<wire::Done>();
    create("t", Durability::disk);
    second.end();
    daemon.settle();
    CHECK(there("t"));  // another one
}

TEST_CASE_FIXTURE(Lifetime, "temporary: neither a kill nor a stop leaves it behind") {
    start();
    WireClient& owner = connect();
    owner.send(temporary("t"), 0, 1);
    daemon.settle();
    (void)owner.next<wire::QueueInfo>();
    kill();
    start();
    CHECK_FALSE(there("t"));
    WireClient& second = connect();
    second.send(temporary("t"), 0, 1);
    daemon.settle();
    (void)second.next<wire::QueueInfo>();
    stop();
    start();
    CHECK_FALSE(there("t"));
}

TEST_CASE_FIXTURE(Lifetime, "temporary: in memory only, and never otherwise") {
    start();
    WireClient& client = connect();
    wire::QueueCreate frame = temporary("t");
    frame.options.durability = Durability::disk;
    client.send(frame, 0, 1);
    client.expect_error(ErrorCode::bad_option, 1);
    frame.options.durability = Durability::memory;
    frame.options.temporary = std::uint8_t{2};
    client.send(frame, 0, 2);
    client.expect_error(ErrorCode::bad_option, 2);
    create("m", Durability::memory);
    wire::QueueUpdate update;
    update.queue = "m";
    update.options.temporary = std::uint8_t{1};
    client.send(update, 0, 3);
    client.expect_error(ErrorCode::bad_option, 3);
    update.options.temporary = std::uint8_t{0};
    client.send(update, 0, 4);
    daemon.settle();
    (void)client.next<wire::QueueInfo>();
}

}  // namespace mqd::core::test
