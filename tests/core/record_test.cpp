// Decoding of records at the limits of their numbers; any other bytes are for the fuzzer.

#include "daemon/core/record.hpp"

#include <doctest/doctest.h>

#include <initializer_list>

namespace mqd::core {
namespace {

// The body of the one record in the group.
wire::Bytes body_of(storage::GroupBuffer& group) {
    RecordReader reader(group.body());
    const auto record = reader.next();
    REQUIRE(record.has_value());
    return record->body;
}

bool restores(std::uint64_t from, std::uint32_t gap, std::uint32_t count) {
    storage::GroupBuffer group;
    std::byte* at = group.extend(record_header_bytes + 16 + restore_run_bytes);
    const auto put = [&](auto number) {
        wire::store(at, number);
        at += sizeof number;
    };
    put(std::uint32_t{16 + restore_run_bytes});
    put(std::uint32_t{static_cast<std::uint8_t>(RecordType::restore_messages)});
    put(std::uint32_t{1});  // queue
    put(from);
    put(std::uint32_t{1});  // runs
    put(gap);
    put(count);
    put(std::uint32_t{0});  // attempts
    std::vector<engine::RestoreMessages> runs;
    return decode_restore(body_of(group), runs);
}

TEST_CASE("record: messages are restored up to the last number, and not beyond it") {
    CHECK(restores(1, 0, 1));
    CHECK_FALSE(restores(1, 0, 0));
    CHECK(restores(UINT64_MAX - 10, 0, 10));
    CHECK_FALSE(restores(UINT64_MAX - 10, 0, 11));
    CHECK(restores(UINT64_MAX - 10, 9, 1));
    CHECK_FALSE(restores(UINT64_MAX - 10, 10, 1));
    CHECK_FALSE(restores(UINT64_MAX - 10, 100, 1));
    CHECK(restores(UINT64_MAX - 2ull * UINT32_MAX, UINT32_MAX, UINT32_MAX));
    CHECK_FALSE(restores(UINT64_MAX - 2ull * UINT32_MAX + 1, UINT32_MAX, UINT32_MAX));
}

TEST_CASE("record: a page holds something, of numbers that can be") {
    const auto decoded = [](const PageRecord& page) {
        storage::GroupBuffer group;
        append_place(group, page);
        return decode_place(body_of(group)).has_value();
    };
    const PageRecord sound{
        QueueId(1), {MessageNumber(1), 10}, {storage::SegmentNumber(1), 64, 100}, 10};
    CHECK(decoded(sound));
    const auto with = [&](auto&& change) {
        PageRecord page = sound;
        change(page);
        return decoded(page);
    };
    CHECK_FALSE(with([](PageRecord& p) { p.held = 0; }));
    CHECK_FALSE(with([](PageRecord& p) { p.held = 11; }));
    CHECK_FALSE(with([](PageRecord& p) { p.range.count = 0; }));
    CHECK_FALSE(with([](PageRecord& p) { p.range.first = MessageNumber(0); }));
    CHECK(with([](PageRecord& p) { p.range.first = MessageNumber(UINT64_MAX - 10); }));
    CHECK_FALSE(with([](PageRecord& p) { p.range.first = MessageNumber(UINT64_MAX - 9); }));
    CHECK_FALSE(with([](PageRecord& p) { p.address.segment = storage::SegmentNumber(0); }));
    CHECK_FALSE(with([](PageRecord& p) { p.address.bytes = 64; }));
    CHECK(with([](PageRecord& p) { p.address.bytes = 65; }));
    CHECK(with([](PageRecord& p) { p.address.offset = UINT64_MAX - 100; }));
    CHECK_FALSE(with([](PageRecord& p) { p.address.offset = UINT64_MAX - 99; }));
}

TEST_CASE("record: delays keep their clock, their time and how often it was tried, up to a bound") {
    const engine::DelayMessages wall{
        QueueId(1), {MessageNumber(1), 2}, engine::Due::on(WallTime{}), 3};
    const engine::DelayMessages journal{
        QueueId(1), {MessageNumber(9), 1}, engine::Due::on(engine::Time{}), delay_attempts_max + 1};
    storage::GroupBuffer group;
    append_delay(group, std::vector{wall, journal});
    std::vector<engine::DelayMessages> runs;
    REQUIRE(decode_delay(body_of(group), runs));
    REQUIRE(runs.size() == 2);
    CHECK(runs[0].range == wall.range);
    CHECK(runs[0].due.clock == engine::DueClock::wall);
    CHECK(runs[0].attempts == 3);
    CHECK(runs[1].range == journal.range);
    CHECK(runs[1].due.clock == engine::DueClock::journal);
    CHECK(runs[1].attempts == delay_attempts_max);
}

TEST_CASE("record: a part of a queue is not empty") {
    for (const std::uint64_t to : {4u, 5u, 6u}) {
        storage::GroupBuffer group;
        append_state_of(group, {QueueId(1), MessageNumber(5), MessageNumber(to), Sequence(9)});
        CHECK(decode_state_of(body_of(group)).has_value() == (to > 5));
    }
}

}  // namespace
}  // namespace mqd::core
