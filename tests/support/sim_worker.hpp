#pragma once

// Workers without threads: what was posted runs when the test says, so that loop, commit and
// background work interleave as a seed decides. Each worker keeps its own order, as a thread would.

#include <deque>
#include <functional>
#include <vector>

#include "daemon/storage/worker.hpp"
#include "support/dice.hpp"

namespace mqd::test {

class SimWorker : public storage::Worker {
  public:
    void post(std::function<void()> work, std::function<void()> done) override;

    [[nodiscard]] bool has_work() const { return !posted_.empty(); }
    [[nodiscard]] bool has_done() const { return !done_.empty(); }
    [[nodiscard]] bool idle() const { return posted_.empty() && done_.empty(); }
    // Runs the work posted first. Precondition: has_work().
    void run_work();
    // Calls the `done` of the work that was finished first. Precondition: has_done().
    void run_done();
    // Everything posted, and what is posted meanwhile, to its end.
    void run_all();
    // The process ended: nothing of it ever runs.
    void drop();

  private:
    struct Job {
        std::function<void()> work;
        std::function<void()> done;
    };
    std::deque<Job> posted_;
    std::deque<std::function<void()>> done_;
};

// Several workers, one step at a time.
class SimSchedule {
  public:
    SimSchedule(std::uint64_t seed, std::vector<SimWorker*> workers)
        : dice_(seed), workers_(std::move(workers)) {}

    // Runs one piece of work or one `done` of any worker, or says that there is none.
    bool step();
    // Until nothing is left. At most `steps_max` steps; more is a test that never ends.
    void run_all(std::uint64_t steps_max = 1'000'000);

  private:
    Dice dice_;
    std::vector<SimWorker*> workers_;
};

}  // namespace mqd::test
