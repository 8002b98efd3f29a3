// PEEK with a filter: by state, header and age, a bounded look at a time.

#include "core/core_fixture.hpp"

namespace mqd::core::test {

namespace {

using std::chrono::milliseconds;
using Bodies = std::vector<std::string>;

class PeekFilter : public CoreFixture {
  protected:
    // Messages "0", "1", ... with the header n: their number modulo `kinds`.
    void fill(std::string_view name, std::uint64_t count, std::uint64_t kinds,
              std::size_t padding = 0) {
        std::vector<std::byte> batch;
        for (std::uint64_t i = 0; i < count; ++i) {
            std::vector<std::byte> attributes;
            wire::append_header(attributes, "n", std::to_string(i % kinds));
            wire::append_header(attributes, "all", "");
            const std::string body = std::to_string(i) + std::string(padding, '.');
            wire::append_message(batch, attributes, wire::as_bytes(body));
        }
        WireClient& client = connect();
        (void)client.open_producer(name);
        wire::Publish frame;
        frame.first_line = LineNumber(1);
        frame.count = static_cast<std::uint32_t>(count);
        frame.batch = batch;
        client.send(frame, 1);
        daemon.settle_for(milliseconds(20));
        (void)client.await<wire::Confirm>();
        clients.pop_back();
    }
    struct Found {
        Bodies bodies;
        std::vector<wire::MessageState> states;
        unsigned pages = 0;
        unsigned empty_pages = 0;
    };
    Found look(std::string_view name, const wire::PeekFilter& filter, std::uint32_t max = 10) {
        WireClient& client = connect();
        Found found;
        wire::Peek frame{name, MessageNumber(1), max, filter};
        for (bool more = true; more;) {
            client.send(frame, 0, 3);
            daemon.settle_for(milliseconds(20));
            const auto reply = client.next<wire::PeekReply>();
            CHECK((!reply.more || reply.next > frame.from));
            ++found.pages;
            found.empty_pages += reply.runs.empty() ? 1 : 0;
            for (const wire::PeekedRun& run : reply.runs) {
                const auto bodies = bodies_of(run.messages);
                found.bodies.insert(found.bodies.end(), bodies.begin(), bodies.end());
                found.states.insert(found.states.end(), bodies.size(), run.state);
            }
            frame.from = reply.next;
            more = reply.more;
        }
        clients.pop_back();
        return found;
    }
};

}  // namespace

TEST_CASE_FIXTURE(PeekFilter, "peek filter: exactly these headers, all of them") {
    start();
    create("q", Durability::disk);
    fill("q", 25, 7);
    wire::PeekFilter filter;
    filter.headers = {{"n", "3"}};
    CHECK(look("q", filter).bodies == Bodies{"3", "10", "17", "24"});
    CHECK(look("q", filter, 1).bodies == Bodies{"3", "10", "17", "24"});
    CHECK(look("q", filter, 1).pages >= 4);
    filter.headers.push_back({"all", ""});
    CHECK(look("q", filter).bodies == Bodies{"3", "10", "17", "24"});
    filter.headers.push_back({"n", "4"});
    CHECK(look("q", filter).bodies.empty());
    filter.headers = {{"n", ""}};
    CHECK(look("q", filter).bodies.empty());
    filter.headers = {{"al", ""}};
    CHECK(look("q", filter).bodies.empty());
    CHECK(queue("q").ready() == 25);
}

TEST_CASE_FIXTURE(PeekFilter, "peek filter: states, and dying is told only to who asks so") {
    start();
    create("q", Durability::disk);
    fill("q", 4, 1);
    WireClient& worker = connect();
    (void)worker.open_consumer("q", 2, 2);
    daemon.settle();
    worker.settle(wire::FrameType::nack, {{MessageNumber(1), 1}}, 2, 0, 500);
    daemon.settle();
    wire::PeekFilter filter;
    filter.states = wire::state_bit(wire::MessageState::delayed);
    CHECK(look("q", filter).bodies == Bodies{"0"});
    filter.states = wire::state_bit(wire::MessageState::leased);
    CHECK(look("q", filter).bodies.size() == queue("q").leased());
    filter.states = wire::state_bit(wire::MessageState::ready);
    CHECK(look("q", filter).bodies.size() == queue("q").ready());
    filter.states = wire::state_bit(wire::MessageState::dying);
    CHECK(look("q", filter).bodies.empty());
    filter.states = 0;
    const Found all = look("q", filter);
    CHECK(all.bodies == Bodies{"0", "1", "2", "3"});
    CHECK(all.states.front() == wire::MessageState::delayed);
}

TEST_CASE_FIXTURE(PeekFilter, "peek filter: ages") {
    start();
    create("q", Durability::disk);
    fill("q", 1, 1);
    daemon.pass(milliseconds(1000));
    const WallTime middle = daemon.wall();
    daemon.pass(milliseconds(1000));
    fill("q", 2, 1);
    wire::PeekFilter filter;
    filter.published_before = middle;
    CHECK(look("q", filter).bodies == Bodies{"0"});
    filter.published_before = {};
    filter.published_from = middle;
    CHECK(look("q", filter).bodies == Bodies{"0", "1"});
    filter.published_before = middle;
    CHECK(look("q", filter).bodies.empty());
}

TEST_CASE_FIXTURE(PeekFilter, "peek filter: a look is bounded, in memory and in segments") {
    options.journal = {64 * 1024, 8 * 64 * 1024};
    options.backlog.memory_bytes = 20'000;
    options.backlog.page_bytes = 4'000;
    options.backlog.segment_bytes = 16'000;
    start();
    create("m", Durability::memory);
    for (int i = 0; i < 100; ++i) {
        fill("m", 250, 1);
    }
    wire::PeekFilter filter;
    filter.headers = {{"n", "none"}};
    const Found nothing = look("m", filter);
    CHECK(nothing.bodies.empty());
    CHECK(nothing.pages == 3);
    create("d", Durability::disk);
    for (int i = 0; i < 60; ++i) {
        fill("d", 10, 10, 300);
    }
    REQUIRE(daemon.core().backlog().unread_bytes(queue("d").id()) > 0);
    CHECK(look("d", filter).bodies.empty());
    CHECK(look("d", filter).pages > 10);  // one of a segment at a time
    filter.headers = {{"n", "7"}};
    CHECK(look("d", filter).bodies.size() == 60);
    CHECK(look("d", filter, 1000).bodies.size() == 60);
}

TEST_CASE_FIXTURE(PeekFilter, "peek filter: nonsense ends the connection") {
    start();
    create("q", Durability::memory);
    for (const std::uint8_t bad : {std::uint8_t{0x40}, std::uint8_t{0xFF}}) {
        WireClient& client = connect();
        wire::PeekFilter filter;
        filter.states = bad;
        client.send(wire::Peek{"q", MessageNumber(1), 1, filter}, 0, 3);
        client.expect_error(ErrorCode::protocol_violation);
    }
}

}  // namespace mqd::core::test
