#pragma once

// One run of the simulation: a daemon over a simulated disk, clients that do as they please,
// disasters at any moment, and the judge that watches. A seed decides everything; the same seed is
// the same run.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/actor.hpp"
#include "sim/backup_taker.hpp"
#include "sim/judge.hpp"
#include "sim/tap.hpp"
#include "support/canonical_state.hpp"
#include "support/sim_daemon.hpp"

namespace mqd::sim {

// Of a session, so that it is never thrown out.
inline constexpr std::uint64_t output_bytes_plenty = 1'000'000;

// What may go wrong, as shares of the disasters of a run.
struct Disasters {
    std::uint64_t power_losses = 0;
    std::uint64_t kills = 0;
    std::uint64_t clean_stops = 0;
    std::uint64_t io_errors = 0;  // of one call, then the daemon ends
    std::uint64_t full_disks = 0;
    std::uint64_t turns_between = 150;  // on the average
    std::uint64_t turns = 700;
};

// How often the daemons of a run went where the rare faults are.
struct Paths {
    std::uint64_t pages_written = 0;
    std::uint64_t pages_read = 0;
    std::uint64_t pages_carried = 0;
    std::uint64_t checkpoints = 0;
    std::uint64_t backups = 0;  // taken to their end

    bool operator==(const Paths&) const = default;
};

class Simulation {
  public:
    // `traced`: what happens is printed, frame by frame.
    Simulation(std::uint64_t seed, const Disasters& disasters, bool traced = false);
    ~Simulation();

    // The whole run; afterwards violation() says what was wrong, if anything.
    void run();
    [[nodiscard]] const std::optional<std::string>& violation() const { return judge_.violation(); }
    [[nodiscard]] std::uint64_t turns() const { return turn_; }
    [[nodiscard]] std::uint64_t starts() const { return starts_; }
    [[nodiscard]] const Judge::Figures& figures() const { return judge_.figures(); }
    [[nodiscard]] const Paths& paths() const { return paths_; }

  private:
    struct Connection {
        Connection(Judge& judge, Identity identity, bool traced) : tap(judge, identity, traced) {}
        std::unique_ptr<Actor> actor;
        std::unique_ptr<core::Session> session;  // null: the daemon has closed it
        Tap tap;
        std::vector<std::byte> up;    // on the way to the daemon
        std::vector<std::byte> down;  // on the way to the client
        std::uint64_t heard = 0;      // bytes of output that the tap was told, in all
        std::uint64_t sent = 0;       // bytes of output that went down, in all
        bool cut = false;             // the client has closed it
        bool reads_slowly = false;
    };
    using Connections = std::vector<std::unique_ptr<Connection>>;

    [[nodiscard]] bool over() const { return judge_.violation().has_value(); }
    void choose_options();
    void choose_dead_letters();
    void choose_total_limits(std::uint64_t seed);
    void choose_rendezvous(std::uint64_t seed);
    void choose_undo(std::uint64_t seed);
    void choose_group_rate(std::uint64_t seed);
    void choose_moves();

    // --- a turn (simulation.cpp)
    void turn();
    void clients_act();
    void connect();
    void bytes_up(Connection& connection);
    void bytes_down(Connection& connection);
    void hear();
    void hear(Connection& connection);
    void close_sessions();
    void end_session(Connection& connection);
    void work();
    void backup_turn();
    void judge_copy(const test::SimDisk::Image& copy);
    [[nodiscard]] bool chance(unsigned percent) { return hasty_ || dice_.percent(percent); }

    // --- disasters (disaster.cpp)
    void disaster();
    void power_off_soon(End end);
    void end_process(End end);
    void after_failure();
    void start();
    bool start_once();
    bool store_is_sound();
    void check_queues();
    void stop_cleanly();
    [[nodiscard]] test::CanonicalState state() const;
    void drain();
    void drain_once();
    void end_daemon();
    [[nodiscard]] std::uint64_t live_messages();
    void check_count();
    void trace(const std::string& what) const;

    Disasters disasters_;
    bool traced_;
    test::Dice dice_;
    core::CoreOptions options_;
    Habits habits_;
    std::uint64_t connections_max_ = 4;
    std::uint64_t pipe_bytes_max_ = 16 * 1024;
    std::uint64_t work_steps_max_ = 4;  // of both workers in a turn: how slow the disk is
    std::chrono::microseconds turn_time_max_{1000};

    test::SimDisk disk_;
    test::SimDaemon daemon_;
    Judge judge_;
    Connections connections_;
    // The backups draw from a source of their own: a run without them is what it was before there
    // were any.
    test::Dice backup_dice_;
    bool takes_backups_ = false;
    std::unique_ptr<BackupTaker> backup_;
    Uid next_uid_ = 1;
    Inputs inputs_;  // of producers with names
    std::uint32_t next_pid_ = 100;
    std::uint64_t turn_ = 0;
    std::uint64_t starts_ = 0;
    Paths paths_;
    bool hasty_ = false;  // nothing is put off: the run is to come to its end
    bool no_new_clients_ = false;
    std::optional<End> power_off_;       // planned; what it will count as
    bool power_off_at_promise_ = false;  // while the disk has writes that are not synced
    std::optional<test::CanonicalState> state_at_stop_;  // nothing: it was no clean stop
    bool io_error_planned_ = false;
    std::uint64_t disk_full_until_ = 0;
};

}  // namespace mqd::sim
