#include "daemon/storage/thread_worker.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <semaphore>
#include <thread>
#include <vector>

namespace mqd::storage {
namespace {

class WorkerFixture {
  public:
    void wait_for_notice() { REQUIRE(noticed.try_acquire_for(std::chrono::seconds(10))); }
    std::counting_semaphore<1000> noticed{0};
    ThreadWorker worker{"worker", [this] { noticed.release(); }};
};

TEST_CASE_FIXTURE(WorkerFixture, "thread worker: work runs there, done runs here, both in order") {
    std::vector<int> worked;
    std::vector<int> done;
    const auto here = std::this_thread::get_id();
    for (int i = 0; i < 100; ++i) {
        worker.post(
            [&worked, i, here] {
                worked.push_back(i);
                CHECK(std::this_thread::get_id() != here);
            },
            [&done, i, here] {
                done.push_back(i);
                CHECK(std::this_thread::get_id() == here);
            });
    }
    worker.hand_over();
    while (done.size() < 100) {
        wait_for_notice();
        worker.run_done();
    }
    REQUIRE(worked.size() == 100);
    for (int i = 0; i < 100; ++i) {
        CHECK(worked[static_cast<std::size_t>(i)] == i);
        CHECK(done[static_cast<std::size_t>(i)] == i);
    }
}

TEST_CASE_FIXTURE(WorkerFixture, "thread worker: done may post again") {
    int rounds = 0;
    std::function<void()> again = [&] {
        if (++rounds < 10) {
            worker.post([] {}, again);
        }
    };
    worker.post([] {}, again);
    while (rounds < 10) {
        worker.hand_over();
        wait_for_notice();
        worker.run_done();
    }
}

TEST_CASE_FIXTURE(WorkerFixture, "thread worker: a job without done wakes nobody") {
    int worked = 0;
    int done = 0;
    worker.post([&worked] { ++worked; }, nullptr);
    worker.post([&worked] { ++worked; }, [&done] { ++done; });
    worker.hand_over();
    wait_for_notice();
    worker.run_done();
    CHECK(worked == 2);
    CHECK(done == 1);
    CHECK_FALSE(noticed.try_acquire());
}

TEST_CASE("thread worker: its end finishes what was posted, and calls no done") {
    std::atomic<int> worked = 0;
    bool done = false;
    {
        ThreadWorker worker("worker", [] {});
        for (int i = 0; i < 50; ++i) {
            worker.post([&worked] { ++worked; }, [&done] { done = true; });
        }
    }
    CHECK(worked == 50);
    CHECK_FALSE(done);
}

}  // namespace
}  // namespace mqd::storage
