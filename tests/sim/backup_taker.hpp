#pragma once

// A client of its own kind: takes one backup of the daemon, at its own pace, and gives up when it
// likes to. What it got is for the simulation to judge.

#include <memory>
#include <optional>

#include "daemon/core/session.hpp"
#include "support/dice.hpp"
#include "support/sim_disk.hpp"

namespace mqd::sim {

class BackupTaker {
  public:
    BackupTaker(core::Core& core, test::Dice dice);

    // Asks and reads, or not; within a turn of the daemon.
    void act();
    // It has all of it, or an error came, or it has had enough.
    [[nodiscard]] bool over() const { return over_; }
    // All files; nothing unless it has all of it.
    [[nodiscard]] const test::SimDisk::Image* copy() const { return whole_ ? &files_ : nullptr; }

  private:
    template <typename Frame>
    void send(const Frame& frame);
    void read();
    void take(const wire::FrameHeader& header, wire::Bytes body);

    test::Dice dice_;
    std::unique_ptr<core::Session> session_;
    std::vector<std::byte> partial_;
    test::SimDisk::Image files_;
    std::size_t asked_ = 0;
    bool open_ = false;
    bool whole_ = false;
    bool over_ = false;
};

}  // namespace mqd::sim
