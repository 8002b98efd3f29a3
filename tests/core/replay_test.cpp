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
        append_skip_numbers(body, {id, MessageNumber(1)});
        writer.add(body);
        writer.finish(through, [](const Result<void>& written) { REQUIRE(written.has_value()); });
        worker.run_all();
        started = try_start();
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
