#pragma once

// A store of segments over a simulated disk, with verbs, and with the pages as the test knows them.

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/storage/segment_store.hpp"
#include "support/dice.hpp"
#include "support/sanitized.hpp"
#include "support/sim_disk.hpp"
#include "support/sim_worker.hpp"

namespace mqd::storage::test {

using mqd::test::Dice;
using mqd::test::SimDisk;
using mqd::test::SimWorker;
using mqd::test::slowness;

inline constexpr SegmentGroup shared{0};

// A page as the test knows it.
struct Known {
    QueueId queue;
    MessageRange range;
    PageAddress address;
    std::string body;
};

class StoreFixture {
  public:
    explicit StoreFixture(std::uint64_t segment_bytes = 4096) : segment_bytes_(segment_bytes) {
        make();
    }

    // A store that knows nothing yet, as a new process has it.
    void make() {
        store.reset();
        worker.drop();
        store = std::make_unique<SegmentStore>(disk, worker, segment_bytes_);
    }
    void open() {
        const Result<void> opened = store->open();
        REQUIRE_MESSAGE(opened.has_value(), opened.error().text);
    }
    // The process ends, and the next one is told of these pages.
    Result<void> reopen(const std::vector<Known>& pages) {
        disk.kill();
        make();
        for (const Known& page : pages) {
            store->add_page(page.address);
        }
        return store->open();
    }

    Known page(SegmentGroup group, std::size_t bytes, std::uint32_t queue = 1) {
        Known known;
        known.queue = QueueId(queue);
        known.range = {MessageNumber(next_number_), 3};
        next_number_ += 3;
        known.body.assign(bytes, static_cast<char>('a' + next_number_ % 26));
        GroupBuffer& body = store->begin_page(group, known.queue, known.range, bytes);
        body.append(std::as_bytes(std::span<const char>(known.body)));
        known.address = store->end_page();
        return known;
    }
    // Writes the batch; its pages count from now on, as core would have it.
    Result<void> write(const std::vector<Known>& pages) {
        std::optional<Result<void>> result;
        store->write([&](const Result<void>& written) {
            result = written;
            for (const Known& page : pages) {
                if (written) {
                    store->add_page(page.address);
                }
            }
        });
        CHECK(store->writing());
        worker.run_all();
        CHECK_FALSE(store->writing());
        REQUIRE(result.has_value());
        return *result;
    }
    Known written_page(SegmentGroup group, std::size_t bytes, std::uint32_t queue = 1) {
        Known known = page(group, bytes, queue);
        REQUIRE(write({known}).has_value());
        return known;
    }
    [[nodiscard]] Result<SegmentStore::PageBytes> read(const Known& known) {
        return SegmentStore::read(disk, known.address, known.queue, known.range);
    }
    void expect_readable(const Known& known) {
        const auto bytes = read(known);
        REQUIRE_MESSAGE(bytes.has_value(), bytes.error().text);
        const std::span<const std::byte> all(**bytes);
        const auto body = all.subspan(sizeof(PageHeader));
        CHECK(std::string(reinterpret_cast<const char*>(body.data()), body.size()) == known.body);
    }
    void expect_damaged(const Known& known) {
        const auto bytes = read(known);
        REQUIRE_FALSE(bytes.has_value());
        CHECK(bytes.error().code == ErrorCode::damaged);
        const std::string& text = bytes.error().text;
        CHECK_MESSAGE(text.find(segment_file_name(known.address.segment)) != std::string::npos,
                      text);
        CHECK_MESSAGE(
            text.find("offset " + std::to_string(known.address.offset)) != std::string::npos, text);
    }
    [[nodiscard]] bool exists(SegmentNumber number) const {
        return disk.exists(segment_file_name(number));
    }
    void drop(const Known& known) { store->drop_page(known.address, known.address.bytes); }

    SimDisk disk;
    SimWorker worker;
    std::unique_ptr<SegmentStore> store;

  private:
    std::uint64_t segment_bytes_;
    std::uint64_t next_number_ = 1;
};

}  // namespace mqd::storage::test
