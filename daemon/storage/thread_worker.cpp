#include "daemon/storage/thread_worker.hpp"

#include <pthread.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "mqd/assert.hpp"

namespace mqd::storage {

ThreadWorker::ThreadWorker(const std::string& name, std::function<void()> notify)
    : notify_(std::move(notify)), thread_([this] { run(); }) {
    MQD_ASSERT(notify_ != nullptr);
    MQD_ASSERT(name.size() <= 15, name.size());
    pthread_setname_np(thread_.native_handle(), name.c_str());
}

ThreadWorker::~ThreadWorker() {
    hand_over();
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    handed_over_.notify_one();
    thread_.join();
    MQD_ASSERT(jobs_.empty());
}

void ThreadWorker::post(std::function<void()> work, std::function<void()> done) {
    posted_.push_back({std::move(work), std::move(done)});
}

void ThreadWorker::hand_over() {
    if (posted_.empty()) {
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        MQD_ASSERT(!ending_);
        std::move(posted_.begin(), posted_.end(), std::back_inserter(jobs_));
    }
    handed_over_.notify_one();
    posted_.clear();
}

void ThreadWorker::run_done() {
    MQD_ASSERT(running_done_.empty());
    {
        const std::lock_guard lock(mutex_);
        running_done_.swap(done_);
    }
    for (const std::function<void()>& done : running_done_) {
        done();
    }
    running_done_.clear();
}

void ThreadWorker::run() {
    std::unique_lock lock(mutex_);
    while (true) {
        handed_over_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
        if (jobs_.empty()) {
            return;
        }
        Job job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        job.work();
        job.work = nullptr;  // what it held is freed before anyone hears that it is done
        lock.lock();
        if (!job.done) {
            continue;
        }
        done_.push_back(std::move(job.done));
        if (done_.size() == 1) {
            lock.unlock();
            notify_();
            lock.lock();
        }
    }
}

}  // namespace mqd::storage
