#include "client/ledger.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>

using namespace mqd;
using namespace mqd::client;

namespace {

std::shared_ptr<DeliverFrame> frame_of(std::uint64_t first,
                                       const std::vector<std::uint32_t>& bytes) {
    auto frame = std::make_shared<DeliverFrame>();
    frame->messages.first_number = MessageNumber(first);
    frame->messages.count = static_cast<std::uint32_t>(bytes.size());
    std::uint32_t end = 0;
    for (const std::uint32_t each : bytes) {
        end += each;
        frame->ends.push_back(end);
    }
    return frame;
}

}  // namespace

TEST_CASE("ledger: it agrees with a plain map, whatever is delivered, settled and lost") {
    for (unsigned seed = 1; seed <= 200; ++seed) {
        INFO("seed ", seed);
        // Of some, much is held at once.
        const bool many = seed % 20 == 0;
        const unsigned numbers = many ? 3'000 : 60;
        const int steps = many ? 6'000 : 200;
        std::mt19937 random(seed);
        Ledger ledger;
        std::vector<std::shared_ptr<DeliverFrame>> frames;
        std::map<std::uint64_t, std::uint32_t> model;  // number → bytes
        for (int step = 0; step < steps; ++step) {
            const std::uint64_t first = 1 + random() % numbers;
            if (random() % 3 == 0 || (many && step < steps / 2)) {
                std::vector<std::uint32_t> bytes(1 + random() % (many ? 2 : 8));
                bool is_free = true;
                for (std::size_t i = 0; i < bytes.size(); ++i) {
                    bytes[i] = static_cast<std::uint32_t>(8 + random() % 100);
                    is_free = is_free && model.count(first + i) == 0;
                }
                auto frame = frame_of(first, bytes);
                REQUIRE(ledger.add(frame) == is_free);
                if (is_free) {
                    frames.push_back(frame);
                }
                for (std::size_t i = 0; is_free && i < bytes.size(); ++i) {
                    model[first + i] = bytes[i];
                }
                continue;
            }
            const std::uint64_t count = random() % 12;
            std::uint64_t messages = 0;
            std::uint64_t sum = 0;
            std::vector<MessageRange> expected;
            for (std::uint64_t n = first; n < first + count; ++n) {
                if (const auto found = model.find(n); found != model.end()) {
                    append_merged(expected, {MessageNumber(n), 1});
                    messages += 1;
                    sum += found->second;
                    model.erase(found);
                }
            }
            std::vector<MessageRange> held;
            ledger.held_of({MessageNumber(first), count}, held);
            CHECK(held == expected);
            std::vector<MessageRange> removed;
            const auto result = ledger.remove({MessageNumber(first), count}, removed);
            REQUIRE(removed == expected);
            REQUIRE(result.messages == messages);
            REQUIRE(result.bytes == sum);
            REQUIRE(ledger.messages() == model.size());
            std::size_t holders = 0;
            for (const auto& frame : frames) {
                holders += ledger.holds(*frame, MessageNumber(first)) ? 1 : 0;
            }
            REQUIRE(holders == model.count(first));
        }
    }
}

TEST_CASE("ledger: ranges are sorted and merged where they touch") {
    std::vector<MessageRange> ranges{
        {MessageNumber(9), 1}, {MessageNumber(1), 2}, {MessageNumber(3), 1}, {MessageNumber(6), 3}};
    sort_and_merge(ranges);
    CHECK(ranges == std::vector<MessageRange>{{MessageNumber(1), 3}, {MessageNumber(6), 4}});
}
