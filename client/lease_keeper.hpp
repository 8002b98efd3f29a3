#pragma once

// A thread beside Consumer::run() that extends leases while a handler works: it makes the rounds of
// its connection that no call makes then, but reads nothing and settles nothing. It and the thread
// of the program take turns: it may touch the connection only while that thread is not within a
// call of the library (Connection::InUse), so within a handler.
//
// Lives from the first message of a run() to its end, the outermost run() of its connection.

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "mqd/consumer.hpp"
#include "mqd/result.hpp"

namespace mqd::client {

class Connection;

// What is not extended any more, and whom to tell.
struct Overrun {
    LeaseLostHandler handler;  // not empty
    MessageRange range;
};

class LeaseKeeper {
  public:
    // The connection is not its own, from the start.
    explicit LeaseKeeper(Connection& connection) : connection_(connection), turn_(mutex_) {}
    LeaseKeeper(const LeaseKeeper&) = delete;
    LeaseKeeper& operator=(const LeaseKeeper&) = delete;
    // Precondition: the connection is not its own. Waits for the thread to end.
    ~LeaseKeeper();

    // Error: io_error (no more threads).
    [[nodiscard]] Result<void> start();
    // The connection is its own until take_back(), which waits for what it is at.
    void hand_over() { turn_.unlock(); }
    void take_back() { turn_.lock(); }

    // Whether the caller is the thread of a keeper.
    [[nodiscard]] static bool is_current_thread();

  private:
    void work();

    Connection& connection_;
    std::mutex mutex_;
    std::unique_lock<std::mutex> turn_;  // of the program's thread
    std::condition_variable stopping_;
    bool stop_ = false;
    std::thread thread_;
};

}  // namespace mqd::client
