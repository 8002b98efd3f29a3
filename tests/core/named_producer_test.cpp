// Producers with names: what was taken of them outlives handles, restarts and power losses with the
// messages, and whoever opens a name has it alone.

#include "core/core_fixture.hpp"
#include "daemon/core/check_store.hpp"
#include "support/canonical_state.hpp"

namespace mqd::core::test {

namespace {

class Named : public CoreFixture {
  protected:
    // OPENED may have to wait for the disk.
    wire::Opened open(WireClient& client, std::string_view producer, std::uint32_t handle = 1,
                      std::string_view queue_name = "q") {
        client.send(wire::OpenProducer{queue_name, producer}, handle, 9);
        daemon.settle();
        return client.await<wire::Opened>();
    }
    std::uint64_t last_line(std::string_view producer, std::string_view queue_name = "q") {
        WireClient& client = connect();
        const auto last = open(client, producer, 1, queue_name).last_line;
        clients.pop_back();
        REQUIRE(last.has_value());
        return last->value();
    }
    void expect_open_refused(std::string_view producer, ErrorCode code) {
        WireClient& client = connect();
        client.send(wire::OpenProducer{"q", producer}, 1, 9);
        daemon.settle();
        client.expect_error(code, 9);
        clients.pop_back();
    }
    void expect_confirmed(WireClient& client, std::uint64_t first_line, std::uint64_t number) {
        daemon.settle();
        const auto confirm = client.await<wire::Confirm>();
        CHECK(confirm.first_line == LineNumber(first_line));
        CHECK(confirm[0].first_number == MessageNumber(number));
    }
    void pause(bool paused) {
        WireClient& client = connect();
        wire::QueueUpdate frame;
        frame.queue = "q";
        frame.options.paused = wire::Paused{paused, false}.bits();
        client.send(frame, 0, 3);
        daemon.settle();
        (void)client.await<wire::QueueInfo>();
        clients.pop_back();
    }
    [[nodiscard]] std::string state() {
        return mqd::test::canonical_state(daemon.core().engine(), {daemon.now(), daemon.wall()})
            .describe();
    }
};

}  // namespace

TEST_CASE_FIXTURE(Named, "named producer: lines go on where the last handle of the name ended") {
    start();
    for (const Durability durability :
         {Durability::memory, Durability::written, Durability::disk}) {
        const std::string name = "q" + std::to_string(static_cast<int>(durability));
        CAPTURE(name);
        create(name, durability);
        WireClient& first = connect();
        CHECK(open(first, "import", 1, name).last_line == LineNumber(0));
        first.publish(1, {"a", "b"});
        first.publish(3, {"c"});
        expect_confirmed(first, 1, 1);
        clients.pop_back();
        WireClient& second = connect();
        CHECK(open(second, "import", 1, name).last_line == LineNumber(3));
        second.publish(4, {"d"});
        expect_confirmed(second, 4, 4);
        clients.pop_back();
        CHECK(last_line("import", name) == 4);
        CHECK(last_line("another", name) == 0);
        CHECK(queue(name).ready() == 4);
    }
}

TEST_CASE_FIXTURE(Named, "named producer: one without a name is told nothing") {
    start();
    create("q", Durability::disk);
    WireClient& client = connect();
    CHECK(!client.open_producer("q").last_line.has_value());
    CHECK(queue("q").producer_marks() == nullptr);
}

TEST_CASE_FIXTURE(Named, "named producer: another line than the next one is a violation") {
    start();
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)open(client, "import");
    client.publish(2, {"b"});
    client.expect_error(ErrorCode::protocol_violation);
}

TEST_CASE_FIXTURE(Named, "named producer: the mark survives whatever its messages survive") {
    start();
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)open(client, "import");
    client.publish(1, {"a", "b", "c"});
    expect_confirmed(client, 1, 1);
    client.publish(4, {"d"});  // not confirmed: it is lost, and so is its line
    SUBCASE("a kill") {
        kill();
    }
    SUBCASE("a power loss") {
        lose_power();
    }
    start();
    const std::uint64_t last = last_line("import");
    CHECK(last >= 3);
    CHECK(last == queue("q").ready());
}

TEST_CASE_FIXTURE(Named, "named producer: OPENED waits until what it tells is on the disk") {
    start();
    create("q", Durability::disk);
    WireClient& old = connect();
    (void)open(old, "import");
    old.publish(1, {"a"});
    WireClient& client = connect();
    client.send(wire::OpenProducer{"q", "import"}, 1, 9);
    CHECK(client.silent());
    daemon.settle();
    CHECK(client.next<wire::Opened>().last_line == LineNumber(1));
    expect_confirmed(old, 1, 1);  // what the old one had brought in counts
}

TEST_CASE_FIXTURE(Named, "named producer: whoever opens the name fences the one before") {
    start();
    create("q", Durability::disk);
    WireClient& old = connect();
    (void)open(old, "import");
    old.publish(1, {"a"});
    expect_confirmed(old, 1, 1);
    WireClient& young = connect();
    CHECK(open(young, "import").last_line == LineNumber(1));
    old.publish(2, {"x"});
    daemon.settle();
    CHECK(old.await<wire::Refuse>().error.code == ErrorCode::producer_fenced);
    old.send(wire::Resume{}, 1);
    old.publish(2, {"x"});
    daemon.settle();
    CHECK(old.await<wire::Refuse>().error.code == ErrorCode::producer_fenced);
    young.publish(2, {"b"});
    expect_confirmed(young, 2, 2);
    CHECK(queue("q").ready() == 2);
    SUBCASE("also on the same connection") {
        CHECK(open(young, "import", 2).last_line == LineNumber(2));
        young.publish(3, {"x"});
        daemon.settle();
        CHECK(young.await<wire::Refuse>().error.code == ErrorCode::producer_fenced);
    }
    SUBCASE("whose end does not matter") {
        clients.erase(clients.begin());
        young.publish(3, {"c"});
        expect_confirmed(young, 3, 3);
    }
}

TEST_CASE_FIXTURE(Named, "named producer: refused lines come again under the same numbers") {
    start();
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)open(client, "import");
    client.publish(1, {"a"});
    expect_confirmed(client, 1, 1);
    pause(true);
    client.publish(2, {"b"});
    client.publish(3, {"c", "d"});
    daemon.settle();
    CHECK(client.await<wire::Refuse>().first_line == LineNumber(2));
    CHECK(client.await<wire::Refuse>().first_line == LineNumber(3));
    pause(false);
    client.send(wire::Resume{}, 1);
    client.publish(2, {"b", "c"});
    expect_confirmed(client, 2, 2);
    CHECK(last_line("import") == 3);
}

TEST_CASE_FIXTURE(Named, "named producer: names are bounded in length and number") {
    options.named_producers_max = 2;
    start();
    create("q", Durability::disk);
    expect_open_refused(std::string(129, 'x'), ErrorCode::bad_name);
    for (const std::string& name : {std::string(128, 'x'), std::string("b")}) {
        WireClient& client = connect();
        (void)open(client, name);
        client.publish(1, {"a"});
        daemon.settle();
        clients.pop_back();
    }
    expect_open_refused("c", ErrorCode::too_many_handles);
    CHECK(last_line("b") == 1);
    kill();
    options.named_producers_max = 1;  // what is there stays
    start();
    CHECK(last_line("b") == 1);
    expect_open_refused("c", ErrorCode::too_many_handles);
}

TEST_CASE_FIXTURE(Named, "named producer: a name of which nothing was taken is not kept") {
    options.named_producers_max = 1;
    start();
    create("q", Durability::disk);
    CHECK(last_line("a") == 0);
    CHECK(last_line("b") == 0);
    WireClient& old = connect();
    (void)open(old, "c");
    WireClient& young = connect();
    (void)open(young, "c");
    SUBCASE("by the younger handle, or by the older one") {
        clients.pop_back();
        old.publish(1, {"x"});
        daemon.settle();
        CHECK(old.await<wire::Refuse>().error.code == ErrorCode::producer_fenced);
        clients.pop_back();
        CHECK(last_line("d") == 0);
    }
    SUBCASE("by the older handle alone") {
        clients.erase(clients.end() - 2);
        young.publish(1, {"a"});
        expect_confirmed(young, 1, 1);
    }
}

TEST_CASE_FIXTURE(Named, "named producer: a purge leaves the mark, a deletion does not") {
    start();
    create("q", Durability::disk);
    WireClient& client = connect();
    (void)open(client, "import");
    client.publish(1, {"a", "b"});
    expect_confirmed(client, 1, 1);
    client.ask(wire::FrameType::queue_purge, "q");
    daemon.settle();
    (void)client.await<wire::Done>();
    CHECK(last_line("import") == 2);
    client.ask(wire::FrameType::queue_delete, "q");
    daemon.settle();
    (void)client.await<wire::Done>();
    CHECK(daemon.core().engine().producer_marks() == 0);
    create("q", Durability::disk);
    CHECK(last_line("import") == 0);
}

TEST_CASE_FIXTURE(Named, "named producer: a memory queue forgets with its messages") {
    start();
    create("q", Durability::memory);
    WireClient& client = connect();
    (void)open(client, "import");
    client.publish(1, {"a"});
    daemon.settle();
    CHECK(last_line("import") == 1);
    kill();
    start();
    CHECK(last_line("import") == 0);
}

TEST_CASE_FIXTURE(Named, "named producer: checkpoints tell the marks, piece by piece") {
    options.journal = {64 * 1024, 4 * 64 * 1024};
    options.message_bytes_max = 4096;
    options.backlog.checkpoint_items = 2;
    options.backlog.checkpoint_chunk_bytes = 100;
    start();
    create("q", Durability::disk);
    WireClient& client = connect();
    for (std::uint32_t i = 1; i <= 9; ++i) {
        (void)open(client, "producer-" + std::to_string(i), i);
        client.publish(1, {std::string(100, 'x')}, Durability::unspecified, i);
    }
    // Until no journal file is left that knows of the first ones.
    std::uint64_t line = 1;
    for (; daemon.core().checkpoint().figures().checkpoints < 8; ++line) {
        REQUIRE(line < 10'000);
        client.publish(line + 1, {std::string(2000, 'y')}, Durability::unspecified, 9);
        daemon.settle();
        (void)client.take();
    }
    const std::string before = state();
    SUBCASE("and a stop") {
        stop();
    }
    SUBCASE("and a kill") {
        kill();
    }
    SUBCASE("and a power loss") {
        lose_power();
    }
    const auto report = check_store(disk);
    REQUIRE(report.has_value());
    CHECK(report->sound());
    start();
    CHECK(state() == before);
    CHECK(last_line("producer-1") == 1);
    CHECK(last_line("producer-9") == line);
}

TEST_CASE_FIXTURE(Named, "named producer: goes on behind a rendezvous that was deleted") {
    start();
    WireClient& client = connect();
    wire::QueueCreate frame;
    frame.queue = "q";
    frame.options.durability = Durability::memory;
    frame.options.max_messages = engine::rendezvous;
    frame.options.on_full = OnFull::wait;
    client.send(frame, 0, 1);
    daemon.settle();
    (void)client.await<wire::QueueInfo>();
    (void)open(client, "p");
    WireClient& reader = connect();
    (void)reader.open_consumer("q", 2, 1);
    client.publish(1, {"a", "b"});  // one of them is delivered, so that the frame is taken
    daemon.settle();
    reader.ask(wire::FrameType::queue_delete, "q");
    daemon.settle();
    CHECK(client.await<wire::Refuse>().error.code == ErrorCode::queue_deleted);
    client.send(wire::Resume{}, 1);
    client.publish(1, {"a", "b"});
    daemon.settle();
    CHECK(client.await<wire::Refuse>().error.code == ErrorCode::queue_deleted);
    CHECK_FALSE(client.session().closing());
}

}  // namespace mqd::core::test
