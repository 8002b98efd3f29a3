#pragma once

// A daemon without sockets, threads or clock: the real core and storage over a simulated disk and
// simulated workers. It starts, turns and dies when the test says so.

#include <memory>
#include <optional>

#include "daemon/core/core.hpp"
#include "daemon/core/session.hpp"
#include "support/sim_disk.hpp"
#include "support/sim_worker.hpp"

namespace mqd::test {

class SimDaemon {
  public:
    explicit SimDaemon(SimDisk& disk) : disk_(disk) {}
    ~SimDaemon() { end(); }
    SimDaemon(const SimDaemon&) = delete;
    SimDaemon& operator=(const SimDaemon&) = delete;

    // Opens the store; on success sessions may be made, though they are served once serving().
    Result<void> start(const core::CoreOptions& options) {
        MQD_ASSERT(core_ == nullptr);
        commit_ = std::make_unique<SimWorker>();
        background_ = std::make_unique<SimWorker>();
        core_ = std::make_unique<core::Core>(options);
        auto started = core_->start(disk_, *commit_, *background_, {engine::Time{}, wall_});
        if (!started) {
            end();
            return started;
        }
        now_ = core_->start_time();
        return started;
    }

    // The process is gone, and nothing of it happens any more. The sessions are gone before. What
    // the disk makes of it is for the caller to say: SimDisk::kill() or crash().
    void end() {
        core_.reset();
        if (commit_) {
            commit_->drop();
            background_->drop();
        }
    }

    [[nodiscard]] bool up() const { return core_ != nullptr; }
    [[nodiscard]] core::Core& core() { return *core_; }
    [[nodiscard]] const core::Core& core() const { return *core_; }
    [[nodiscard]] SimWorker& commit() { return *commit_; }
    [[nodiscard]] SimWorker& background() { return *background_; }
    [[nodiscard]] engine::Time now() const { return now_; }
    [[nodiscard]] WallTime wall() const { return wall_; }

    void pass(std::chrono::microseconds time) {
        now_ += time;
        wall_ += time;
    }
    // Sets the wall clock, as people and time servers do.
    void shift_wall(std::chrono::microseconds by) { wall_ += by; }

    void begin_turn() { core_->begin_turn({now_, wall_}); }
    void end_turn() { core_->end_turn(); }

    // Everything the workers have to do is done, and a turn follows each of their answers, until
    // nothing is left to do at this time.
    void settle() {
        for (int quiet = 0; quiet < 3;) {
            begin_turn();
            const bool idle = commit_->idle() && background_->idle();
            commit_->run_all();
            background_->run_all();
            end_turn();
            quiet = idle && !core_->owes_expiry() ? quiet + 1 : 0;
        }
    }
    // Likewise, letting time pass up to `time`, whenever the core wants to be called again.
    void settle_for(std::chrono::milliseconds time) {
        const engine::Time end = now_ + time;
        settle();
        while (core_->next_deadline() && *core_->next_deadline() <= end) {
            const auto wait = *core_->next_deadline() - now_;
            pass(std::max(std::chrono::microseconds(1),
                          std::chrono::ceil<std::chrono::microseconds>(wait)));
            settle();
        }
        if (now_ < end) {
            pass(std::chrono::ceil<std::chrono::microseconds>(end - now_));
        }
    }

  private:
    SimDisk& disk_;
    std::unique_ptr<SimWorker> commit_;
    std::unique_ptr<SimWorker> background_;
    std::unique_ptr<core::Core> core_;
    engine::Time now_;
    WallTime wall_{std::chrono::hours(24 * 365 * 50)};
};

}  // namespace mqd::test
