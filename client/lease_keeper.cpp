#include "client/lease_keeper.hpp"

#include <pthread.h>

#include <csignal>
#include <system_error>

#include "client/connection.hpp"
#include "mqd/assert.hpp"

namespace mqd::client {
namespace {

thread_local bool keeps_leases = false;

// A thread that is started meanwhile gets no signals: they are the program's.
class SignalsBlocked {
  public:
    SignalsBlocked() {
        sigset_t all;
        (void)sigfillset(&all);
        (void)::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;
    ~SignalsBlocked() { (void)::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  private:
    sigset_t before_{};
};

}  // namespace

bool LeaseKeeper::is_current_thread() {
    return keeps_leases;
}

Result<void> LeaseKeeper::start() {
    const SignalsBlocked blocked;
    try {
        thread_ = std::thread([this] { work(); });
    } catch (const std::system_error& error) {
        return Error{ErrorCode::io_error,
                     std::string("cannot start the thread that extends leases: ") + error.what(), 0,
                     0, error.code().value()};
    }
    return {};
}

LeaseKeeper::~LeaseKeeper() {
    MQD_ASSERT(turn_.owns_lock());
    stop_ = true;
    turn_.unlock();
    stopping_.notify_one();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void LeaseKeeper::work() {
    keeps_leases = true;
    std::vector<Overrun> overrun;
    std::unique_lock lock(mutex_);
    while (!stop_) {
        const auto next = connection_.keep_leases(overrun);
        if (overrun.empty()) {
            (void)stopping_.wait_until(lock, next);
            continue;
        }
        lock.unlock();  // the handler may take its time, or wait for the program's thread
        for (const Overrun& one : overrun) {
            one.handler(one.range);
        }
        overrun.clear();
        lock.lock();
    }
}

}  // namespace mqd::client
