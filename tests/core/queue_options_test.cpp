// Options of a queue: what is refused, and what is kept over a restart.

#include "core/core_fixture.hpp"

namespace mqd::core::test {

namespace {

using Delays = std::vector<std::chrono::milliseconds>;

class QueueOptionsTest : public ServingFixture {
  protected:
    // The answer to QUEUE_CREATE: "taken", or the error.
    std::string make(std::string_view name, const wire::QueueOptions& said) {
        return answer(wire::QueueCreate{name, said});
    }
    std::string change(std::string_view name, const wire::QueueOptions& said) {
        return answer(wire::QueueUpdate{name, said});
    }
    const engine::QueueDefinition& definition(std::string_view name) {
        return queue(name).definition();
    }

  private:
    template <typename Frame>
    std::string answer(const Frame& frame) {
        WireClient& client = connect();
        client.send(frame, 0, 1);
        daemon.settle();
        for (const Received& received : client.take()) {
            if (received.header.type == wire::FrameType::error) {
                return std::string(error_name(received.as<wire::ErrorFrame>().code));
            }
        }
        return "taken";
    }
};

}  // namespace

TEST_CASE_FIXTURE(QueueOptionsTest, "queue options: delays are kept, changed and taken away") {
    const Delays most(32, wire::retry_delay_max);
    wire::QueueOptions said;
    said.retry = most;
    CHECK(make("q", said) == "taken");
    CHECK(make("q", said) == "taken");
    CHECK(make("plain", {}) == "taken");
    CHECK((definition("q").retry == most));
    CHECK(definition("plain").retry.empty());
    lose_power();
    start();
    CHECK((definition("q").retry == most));

    WireClient& client = connect();
    client.ask(wire::FrameType::queue_show, "q");
    CHECK((client.next<wire::QueueInfo>().options.retry == most));

    said.retry = Delays{std::chrono::milliseconds(0), std::chrono::seconds(10)};
    CHECK(make("q", said) == "queue_exists");
    CHECK(change("q", said) == "taken");
    said.retry.reset();
    said.max_attempts = 3;
    CHECK(change("q", said) == "taken");
    CHECK((definition("q").retry == Delays{std::chrono::seconds(0), std::chrono::seconds(10)}));
    lose_power();
    start();
    CHECK((definition("q").retry == Delays{std::chrono::seconds(0), std::chrono::seconds(10)}));
    said.retry.emplace();
    CHECK(change("q", said) == "taken");
    CHECK(definition("q").retry.empty());
}

TEST_CASE_FIXTURE(QueueOptionsTest,
                  "queue options: too many delays and too long ones are refused") {
    wire::QueueOptions said;
    said.retry = Delays(33);
    CHECK(make("q", said) == "bad_option");
    said.retry =
        Delays{std::chrono::seconds(1), wire::retry_delay_max + std::chrono::milliseconds(1)};
    CHECK(make("q", said) == "bad_option");
    CHECK(make("q", {}) == "taken");
    CHECK(change("q", said) == "bad_option");
    CHECK(definition("q").retry.empty());
}

TEST_CASE_FIXTURE(QueueOptionsTest, "queue options: a rate of groups is kept and taken away") {
    using std::chrono::seconds;
    const auto rate = [](std::uint32_t count, std::uint32_t per) {
        wire::QueueOptions said;
        said.group_rate = Rate{count, seconds(per)};
        return said;
    };
    for (const std::uint32_t per : {1u, 60u, 3600u, 86'400u}) {
        CAPTURE(per);
        const std::string name = "q" + std::to_string(per);
        CHECK(make(name, rate(1'000'000, per)) == "taken");
        CHECK(make(name, rate(1'000'000, per)) == "taken");
        CHECK(make(name, rate(1, per)) == "queue_exists");
        CHECK(change(name, rate(1'000'001, per)) == "bad_option");
        CHECK(change(name, rate(1, per + 1)) == "bad_option");
        CHECK(definition(name).group_rate == Rate{1'000'000, seconds(per)});
    }
    CHECK(make("none", rate(1, 0)) == "bad_option");
    CHECK(make("none", rate(0, 7)) == "taken");  // of nothing, the seconds say nothing
    CHECK(make("none", rate(0, 0)) == "taken");
    lose_power();
    start();
    CHECK(definition("q60").group_rate == Rate{1'000'000, seconds(60)});
    CHECK(definition("none").group_rate == Rate{});
    CHECK(change("q60", rate(0, 1)) == "taken");
    lose_power();
    start();
    CHECK(definition("q60").group_rate == Rate{});
}

TEST_CASE_FIXTURE(QueueOptionsTest,
                  "queue options: a queue without delays of its own has the defaults") {
    stop();
    options.queue_defaults.retry = {std::chrono::seconds(5)};
    start();
    CHECK(make("q", {}) == "taken");
    CHECK((definition("q").retry == Delays{std::chrono::seconds(5)}));
}

}  // namespace mqd::core::test
