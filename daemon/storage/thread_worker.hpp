#pragma once

// A Worker on a thread of its own. What is posted gathers until hand_over(), once a turn, so that
// the thread is woken once for all of it. `done` functions gather likewise; `notify` is called, on
// the worker's thread, when the first one does, and the loop thread then calls run_done(). post(),
// hand_over() and run_done() are for the loop thread alone.
//
// Ending: the destructor runs what was posted to its end and joins; `done` functions that were not
// fetched by then are never called.

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "daemon/storage/worker.hpp"

namespace mqd::storage {

class ThreadWorker : public Worker {
  public:
    // `name`: of the thread, at most 15 characters, as `top -H` shows it.
    ThreadWorker(const std::string& name, std::function<void()> notify);
    ~ThreadWorker() override;
    ThreadWorker(const ThreadWorker&) = delete;
    ThreadWorker& operator=(const ThreadWorker&) = delete;

    void post(std::function<void()> work, std::function<void()> done) override;
    // Lets the thread begin with what was posted.
    void hand_over();
    // Calls the `done` of all work that is done, in order.
    void run_done();

  private:
    struct Job {
        std::function<void()> work;
        std::function<void()> done;
    };

    void run();

    std::function<void()> notify_;
    std::vector<Job> posted_;  // not handed over yet
    std::mutex mutex_;
    std::condition_variable handed_over_;
    std::deque<Job> jobs_;                     // guarded by mutex_
    std::vector<std::function<void()>> done_;  // guarded by mutex_
    bool ending_ = false;                      // guarded by mutex_
    std::vector<std::function<void()>> running_done_;
    std::jthread thread_;  // last: it uses the others
};

}  // namespace mqd::storage
