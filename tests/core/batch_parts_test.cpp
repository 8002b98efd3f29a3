#include "daemon/core/batch_parts.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "mqd/wire/batch.hpp"

namespace mqd::core {
namespace {

struct Sent {
    std::vector<std::byte> batch;
    std::vector<std::uint32_t> ends;

    explicit Sent(const std::vector<std::string>& bodies) : ends(bodies.size()) {
        for (const std::string& body : bodies) {
            wire::append_message(batch, {}, wire::as_bytes(body));
        }
        REQUIRE(
            !wire::check_batch(batch, static_cast<std::uint32_t>(bodies.size()), 100, ends.data()));
    }

    // The bodies of the block, by its own offsets.
    [[nodiscard]] std::vector<std::string> copied(std::vector<BatchRun> runs) const {
        Block* block = copy_messages(batch, ends.data(), runs);
        CHECK(block->bytes == bytes_of(ends.data(), runs));
        CHECK(block->live == block->count);
        std::vector<std::string> bodies;
        block->first = MessageNumber(10);
        for (std::uint32_t i = 0; i < block->count; ++i) {
            wire::BatchReader one(block->slice({block->first.plus(i), 1}));
            bodies.emplace_back(wire::as_text(one.next()->body));
            CHECK(!one.next());
            CHECK(one.ok());
        }
        block->drop_reference();
        return bodies;
    }
};

using Bodies = std::vector<std::string>;

TEST_CASE("batch parts: what is picked is copied in order, whole messages with their offsets") {
    const Sent sent({"", "a", "bb", "ccc", "dddd"});
    CHECK(sent.copied({{0, 5}}) == Bodies{"", "a", "bb", "ccc", "dddd"});
    CHECK(sent.copied({{0, 1}}) == Bodies{""});
    CHECK(sent.copied({{4, 1}}) == Bodies{"dddd"});
    CHECK(sent.copied({{0, 2}, {3, 1}}) == Bodies{"", "a", "ccc"});
    CHECK(sent.copied({{1, 1}, {3, 2}}) == Bodies{"a", "ccc", "dddd"});
}

TEST_CASE("batch parts: messages that follow one another are one run") {
    std::vector<BatchRun> runs;
    for (const std::uint32_t index : {0u, 1u, 4u, 5u, 6u, 9u}) {
        add_to_runs(runs, index);
    }
    CHECK(runs == std::vector<BatchRun>{{0, 2}, {4, 3}, {9, 1}});
}

}  // namespace
}  // namespace mqd::core
