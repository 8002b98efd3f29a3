// Which file is carried when most of what the segments hold is dead, and which is not.

#include "storage/segment_fixture.hpp"

namespace mqd::storage::test {
namespace {

class CarryFixture : public StoreFixture {
  public:
    // Files of two pages each, one of them dead: enough for one to be carried.
    CarryFixture() {
        for (std::uint32_t queue = 1; queue <= 12; ++queue) {
            const Known live = page(SegmentGroup(queue), 500, queue);
            const Known dead = page(SegmentGroup(queue), 3'000, queue);
            REQUIRE(write({live, dead}).has_value());
            drop(dead);
            pages.push_back(live);
        }
    }
    std::vector<Known> pages;
};

TEST_CASE_FIXTURE(CarryFixture, "segment carry: a file that cannot be carried is not named again") {
    const auto figures = store->figures();
    std::vector<SegmentNumber> left_out;
    // Without them, less and less is dead, until it is not worth while.
    while (const auto next = store->file_to_carry()) {
        CHECK(std::find(left_out.begin(), left_out.end(), *next) == left_out.end());
        left_out.push_back(*next);
        REQUIRE(left_out.size() <= pages.size());
        store->leave_out(*next);
    }
    CHECK(left_out.size() >= 2);
    CHECK(left_out.size() < pages.size());
    CHECK(store->figures().live_bytes < figures.live_bytes);
    CHECK(store->figures().bytes < figures.bytes);
    CHECK(store->figures().files == figures.files);
    // Its pages end like any other's, and then it goes.
    const auto there = store->figures();
    for (const Known& known : pages) {
        if (known.address.segment != left_out.front()) {
            continue;
        }
        store->shrink_page(known.address, 100);
        store->drop_page(known.address, known.address.bytes - 100);
    }
    CHECK(store->take_dead() == std::vector<SegmentNumber>{left_out.front()});
    store->remove(left_out.front(), [](const Error& error) { FAIL(error.text); });
    worker.run_all();
    CHECK_FALSE(exists(left_out.front()));
    CHECK(store->figures().bytes == there.bytes);
    CHECK(store->figures().live_bytes == there.live_bytes);
    CHECK(store->figures().files == there.files - 1);
}

TEST_CASE_FIXTURE(CarryFixture, "segment carry: nothing is named that the batch being made needs") {
    // All that was written is left out or dead; what is in the batch may not be taken from under
    // it.
    for (const Known& known : pages) {
        drop(known);
    }
    std::vector<Known> batch;
    for (std::uint32_t queue = 21; queue <= 32; ++queue) {
        batch.push_back(page(SegmentGroup(queue), 500, queue));
        batch.push_back(page(SegmentGroup(queue), 3'000, queue));
    }
    CHECK_FALSE(store->file_to_carry().has_value());
    REQUIRE(write(batch).has_value());
    for (std::size_t i = 1; i < batch.size(); i += 2) {
        drop(batch[i]);
    }
    const auto named = store->file_to_carry();
    REQUIRE(named.has_value());
    CHECK(*named >= batch.front().address.segment);
}

TEST_CASE_FIXTURE(CarryFixture, "segment carry: nor is a file that is being written on") {
    const Known more = page(SegmentGroup(5), 100, 5);
    REQUIRE(more.address.segment == pages[4].address.segment);
    std::size_t named = 0;
    while (const auto next = store->file_to_carry()) {
        CHECK(*next != more.address.segment);
        store->leave_out(*next);
        ++named;
    }
    CHECK(named > 0);
    REQUIRE(write({more}).has_value());
    expect_readable(more);
    expect_readable(pages[4]);
}

TEST_CASE("segment carry: two pages are the same if they lie in the same place") {
    const PageAddress page{SegmentNumber(1), 64, 1'000};
    CHECK(page == PageAddress{SegmentNumber(1), 64, 1'000});
    CHECK(page != PageAddress{SegmentNumber(2), 64, 1'000});
    CHECK(page != PageAddress{SegmentNumber(1), 72, 1'000});
    CHECK(page != PageAddress{SegmentNumber(1), 64, 1'001});
    CHECK(segment_file_number("segment-000001") == SegmentNumber(1));
    CHECK(segment_file_number("segment-1234567") == SegmentNumber(1'234'567));
    for (const char* name : {"segment-000000", "segment-1", "segment-0000001", "segment-00001x",
                             "segment-99999999999", "segment-", "journal-000001"}) {
        CHECK_FALSE(segment_file_number(name).has_value());
    }
}

}  // namespace
}  // namespace mqd::storage::test
