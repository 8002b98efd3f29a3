#pragma once

// A client that behaves: on a connection of its own it publishes and takes a message, round after
// round, in a thread, whatever others do to the daemon meanwhile.

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "mqd/client.hpp"
#include "support/daemon_process.hpp"

namespace mqd::test {

class Bystander {
  public:
    // The queue must exist and be nobody else's.
    Bystander(const std::string& url, const std::string& queue)
        : thread_([this, url, queue] { run(url, queue); }) {
        expect_progress();
    }
    Bystander(const Bystander&) = delete;
    Bystander& operator=(const Bystander&) = delete;
    ~Bystander() {
        stop_ = true;
        thread_.join();
    }

    // Some more rounds, from now on.
    void expect_progress() const {
        const std::uint64_t wanted = rounds_ + 10;
        CHECK(eventually([&] { return failed_ || rounds_ >= wanted; }));
        const std::string why = failed_ ? failure_ : "";
        CHECK(why == "");
    }

  private:
    void fail(const std::string& why) {
        failure_ = "round " + std::to_string(rounds_) + ": " + why;
        failed_ = true;
    }

    void run(const std::string& url, const std::string& queue) {
        ConnectOptions options;
        options.timeout = patience;
        auto client = Client::connect(url, options);
        if (!client) {
            return fail(client.error().text);
        }
        auto producer = client->producer(queue);
        auto consumer = client->consumer(queue);
        if (!producer || !consumer) {
            return fail("cannot open \"" + queue + '"');
        }
        while (!stop_ && !failed_) {
            play_round(*producer, *consumer);
        }
    }

    void play_round(Producer& producer, Consumer& consumer) {
        const std::string body = "round " + std::to_string(rounds_);
        if (const auto published = producer.publish(body); !published) {
            return fail("publish: " + published.error().text);
        }
        const auto message = consumer.receive(patience);
        if (!message || !*message) {
            return fail(std::string("receive: ") +
                        (message ? "nothing came" : message.error().text));
        }
        if ((*message)->body != body) {
            return fail("received \"" + std::string((*message)->body) + '"');
        }
        if (const auto acked = consumer.ack((*message)->number); !acked) {
            return fail("ack: " + acked.error().text);
        }
        ++rounds_;
    }

    std::atomic<bool> stop_ = false;
    std::atomic<bool> failed_ = false;
    std::string failure_;  // written before failed_
    std::atomic<std::uint64_t> rounds_ = 0;
    std::thread thread_;
};

}  // namespace mqd::test
