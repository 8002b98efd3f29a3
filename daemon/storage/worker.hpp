#pragma once

// Where blocking work is done: `work` runs on the worker (a thread in the daemon; when and in which
// order the seed says, in the simulation), then `done` on the thread that posted. Jobs of one
// worker run one after the other, in order. Work touches only what it was given.

#include <functional>

namespace mqd::storage {

class Worker {
  public:
    virtual ~Worker() = default;
    // `done` may be empty: then nobody is woken for this job.
    virtual void post(std::function<void()> work, std::function<void()> done) = 0;
};

}  // namespace mqd::storage
