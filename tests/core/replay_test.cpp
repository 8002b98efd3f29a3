// A checkpoint with right checksums that tells what cannot be: damage, and not an abort, at the
// start or later. What comes of other such bytes is for the fuzzer.

#include <functional>

#include "core/core_fixture.hpp"
#include "daemon/core/check_store.hpp"
#include "daemon/core/record.hpp"
#include "daemon/storage/checkpoint_file.hpp"

namespace mqd::core::test {
namespace {

constexpr MessageNumber behind_all{UINT64_MAX};

// A journal with a queue and three messages in it, and a checkpoint made by hand that was written
// when there was only the queue.
struct ByHand : CoreFixture {
    using Append = std::function<void(storage::GroupBuffer&)>;

    void start_with(const Append& more) {
        start();
        create("q", Durability::disk);
        const Sequence through = daemon.core().journal().last();
        WireClient& client = connect();
        (void)client.open_producer("q");
        client.publish(1, {"a", "b", "c"});
        daemon.settle();
        id = queue("q").id();
        write_checkpoint(through, MessageNumber(1), more);
        started = try_start();
    }
    // As the daemon would, after it has ended: of groups up to that one, when `next` was next.
    void write_checkpoint(Sequence through, MessageNumber next, const Append& more) {
        const engine::QueueDefinition definition = queue("q").definition();
        kill();
        mqd::test::SimWorker worker;
        storage::CheckpointWriter writer(disk, worker, {});
        writer.begin(through);
        storage::GroupBuffer body;
        append_next_queue_id(body, id.plus(1));
        append_create_queue(body, {id, definition, MessageNumber(1)});
        append_state_of(body, {id, MessageNumber(0), behind_all, through});
        more(body);
        append_skip_numbers(body, {id, next});
        writer.add(body);
        writer.finish(through, [](const Result<void>& written) { REQUIRE(written.has_value()); });
        worker.run_all();
    }
    void expect_damaged() {
        REQUIRE_FALSE(started.has_value());
        CHECK(started.error().code == ErrorCode::damaged);
        CHECK_MESSAGE(started.error().text.find("the checkpoint") != std::string::npos,
                      started.error().text);
        // Who looks at all of it goes on behind that.
        const auto report = check_store(disk);
        REQUIRE_MESSAGE(report.has_value(), report.error().text);
        REQUIRE_FALSE(report->findings.empty());
        CHECK(report->findings.front().text == started.error().text);
    }
    QueueId id;
    Result<void> started;
};

TEST_CASE_FIXTURE(ByHand, "replay: a checkpoint and the journal behind it make the state") {
    start_with([](storage::GroupBuffer&) {});
    REQUIRE_MESSAGE(started.has_value(), started.error().text);
    CHECK(queue("q").ready() == 3);
}

// A full disk makes checkpoints without failures. Who started from one would know of those that an
// old file of the journal still tells, and forget them when that file is used again.
TEST_CASE_FIXTURE(ByHand, "replay: failures that a checkpoint left out are not known for a while") {
    start();
    create("q", Durability::disk);
    id = queue("q").id();
    WireClient& client = connect();
    (void)client.open_producer("q");
    client.publish(1, {"a", "b"});
    daemon.settle();
    (void)client.open_consumer("q", 2, 2);
    std::vector<std::byte> bytes;
    const std::vector<MessageRange> ranges{{MessageNumber(1), 1}};
    wire::append_settle(bytes, wire::FrameType::nack, {0, ranges, "why"}, CorrelationId(0),
                        HandleId(2), 0);
    client.receive(bytes);
    daemon.settle_for(std::chrono::milliseconds(100));
    REQUIRE(queue("q").failures().count() == 1);
    const Sequence seen = daemon.core().journal().last();
    SUBCASE("it tells of them") {
        write_checkpoint(seen, MessageNumber(3), [&](storage::GroupBuffer& body) {
            const std::vector<engine::LiveRun> runs{{{MessageNumber(1), 1}, 1},
                                                    {{MessageNumber(2), 1}, 0}};
            append_restore(body, id, runs);
            engine::Failure failure;
            failure.reason = std::make_shared<const std::string>("why");
            append_note_failure(body, {id, {MessageNumber(1), 1}, failure});
        });
        REQUIRE(try_start().has_value());
        CHECK(queue("q").failures().count() == 1);
    }
    SUBCASE("it left them out") {
        write_checkpoint(seen, MessageNumber(3), [&](storage::GroupBuffer& body) {
            const std::vector<engine::LiveRun> runs{{{MessageNumber(1), 1}, 1},
                                                    {{MessageNumber(2), 1}, 0}};
            append_restore(body, id, runs);
        });
        REQUIRE(try_start().has_value());
        CHECK(queue("q").failures().empty());
    }
    CHECK(queue("q").ready() == 2);
}

TEST_CASE_FIXTURE(ByHand, "replay: messages that were not published yet cannot live") {
    start_with([this](storage::GroupBuffer& body) {
        const engine::LiveRun run{{MessageNumber(2), 5}, 0};
        append_restore(body, id, {&run, 1});
    });
    expect_damaged();
}

TEST_CASE_FIXTURE(ByHand, "replay: a page of messages that were not published yet cannot be") {
    start_with([this](storage::GroupBuffer& body) {
        disk.put("segment-000001", mqd::test::SimDisk::Bytes(1000));
        append_place(body, {id, {MessageNumber(1), 3}, {storage::SegmentNumber(1), 64, 500}, 3});
    });
    expect_damaged();
}

}  // namespace
}  // namespace mqd::core::test
