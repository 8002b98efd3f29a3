#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <string>

#include "client/input.hpp"
#include "client/output.hpp"

using namespace mqd;
using namespace mqd::client;

TEST_CASE("output: bytes come out as they went in, whether copied or handed over") {
    std::mt19937 random(7);
    Output output(16 * 1024);
    std::string expected;
    std::string got;
    for (int step = 0; step < 2'000; ++step) {
        const std::string bytes(random() % (random() % 20 == 0 ? 50'000 : 300),
                                static_cast<char>('a' + random() % 26));
        if (random() % 2 == 0) {
            output.append(wire::as_bytes(bytes));
        } else {
            Chunk chunk = output.take_chunk(bytes.size());
            std::memcpy(chunk.data.get(), bytes.data(), bytes.size());
            chunk.size = bytes.size();
            output.append(chunk);
            output.give_back(std::move(chunk));
        }
        expected += bytes;
        wire::Bytes views[3];
        const std::size_t count = output.views(views);
        std::size_t take = random() % 2'000;
        for (std::size_t i = 0; i < count && take > 0; ++i) {
            const std::size_t now = std::min(take, views[i].size());
            got += wire::as_text(views[i].first(now));
            take -= now;
        }
        output.consume(got.size() - (expected.size() - output.size()));
        REQUIRE(output.size() == expected.size() - got.size());
    }
    while (!output.empty()) {
        wire::Bytes view;
        REQUIRE(output.views({&view, 1}) == 1);
        got += wire::as_text(view);
        output.consume(view.size());
    }
    CHECK(got == expected);
}

TEST_CASE("input: a block that is held is left alone, and used again when it is not") {
    Input input;
    auto space = input.space(0);
    REQUIRE(space.size() >= Input::read_bytes_min);
    std::memset(space.data(), 'a', space.size());
    input.filled(space.size());
    auto held = input.block();
    const wire::Bytes view = input.unread().first(1'000);
    input.skip(input.unread().size() - 10);
    space = input.space(0);
    CHECK(input.take_left() == held);
    std::memset(space.data(), 'b', space.size());
    CHECK(wire::as_text(view) == std::string(1'000, 'a'));
    CHECK(wire::as_text(input.unread()) == std::string(10, 'a'));
    input.filled(space.size());
    input.skip(input.unread().size());
    const Block* const first = held.get();
    held.reset();
    auto second = input.block();
    (void)input.space(0);
    CHECK(input.block().get() == first);
}

TEST_CASE("input: there is room for the rest of a frame, however long it is") {
    Input input;
    auto space = input.space(0);
    std::memset(space.data(), 'x', 100);
    input.filled(100);
    space = input.space(5'000'000);
    CHECK(space.size() >= 5'000'000 - 100);
    CHECK(input.unread().size() == 100);
}
