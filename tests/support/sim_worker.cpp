#include "support/sim_worker.hpp"

#include <utility>

#include "mqd/assert.hpp"

namespace mqd::test {

void SimWorker::post(std::function<void()> work, std::function<void()> done) {
    MQD_ASSERT(work != nullptr);
    posted_.push_back({std::move(work), std::move(done)});
}

void SimWorker::run_work() {
    MQD_ASSERT(has_work());
    Job job = std::move(posted_.front());
    posted_.pop_front();
    job.work();
    if (job.done) {
        done_.push_back(std::move(job.done));
    }
}

void SimWorker::run_done() {
    MQD_ASSERT(has_done());
    const std::function<void()> done = std::move(done_.front());
    done_.pop_front();
    done();
}

void SimWorker::run_all() {
    while (!idle()) {
        if (has_work()) {
            run_work();
        } else {
            run_done();
        }
    }
}

void SimWorker::drop() {
    posted_.clear();
    done_.clear();
}

bool SimSchedule::step() {
    std::vector<std::function<void()>> choices;
    for (SimWorker* worker : workers_) {
        if (worker->has_work()) {
            choices.emplace_back([worker] { worker->run_work(); });
        }
        if (worker->has_done()) {
            choices.emplace_back([worker] { worker->run_done(); });
        }
    }
    if (choices.empty()) {
        return false;
    }
    choices[static_cast<std::size_t>(dice_.below(choices.size()))]();
    return true;
}

void SimSchedule::run_all(std::uint64_t steps_max) {
    for (std::uint64_t steps = 0; step(); ++steps) {
        MQD_ASSERT(steps < steps_max, steps);
    }
}

}  // namespace mqd::test
