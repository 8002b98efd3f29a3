// Ends and beginnings of the simulated process: how it dies, what must hold when it starts again,
// and the end of the run, when everything that was promised has to come out.

#include <cerrno>
#include <cstdio>

#include "daemon/core/check_store.hpp"
#include "sim/simulation.hpp"

namespace mqd::sim {

namespace {

// More turns than anything takes that ends at all. A start, as a stop, may wait for the room that a
// checkpoint makes: with chunks of a few bytes it has hundreds of them, and where the workers do
// least, each takes eight turns.
constexpr std::uint64_t turns_to_serve_max = 20'000;
constexpr std::uint64_t turns_to_stop_max = 20'000;
constexpr std::uint64_t turns_to_drain_max = 20'000;
constexpr std::uint64_t never = UINT64_MAX / 2;
// Longer than any message is delayed, and than the wall clock is set back in all.
constexpr std::chrono::seconds wait_max(30);
constexpr std::chrono::seconds wall_shift_max(100'000);
constexpr std::uint64_t wall_shifts_max = 100;

}  // namespace

void Simulation::trace(const std::string& what) const {
    if (traced_) {
        std::printf("turn %llu: %s\n", static_cast<unsigned long long>(turn_), what.c_str());
    }
}

void Simulation::disaster() {
    const Disasters& of = disasters_;
    std::uint64_t which =
        dice_.below(of.power_losses + of.kills + of.clean_stops + of.io_errors + of.full_disks);
    const auto is = [&](std::uint64_t share) {
        const bool yes = which < share;
        which -= yes ? 0 : share;
        return yes;
    };
    if (is(of.power_losses)) {
        // Now, in the middle of one of the next calls, or when it does most harm.
        switch (dice_.below(3)) {
            case 0:
                end_process(End::power_lost);
                start();
                break;
            case 1: power_off_soon(End::power_lost); break;
            default:
                power_off_at_promise_ = true;
                trace("the power will fail when something is promised");
                break;
        }
    } else if (is(of.kills)) {
        if (dice_.one_in(2)) {
            end_process(End::killed);
            start();
        } else {
            power_off_soon(End::killed);
        }
    } else if (is(of.clean_stops)) {
        stop_cleanly();
    } else if (is(of.io_errors)) {
        using Call = test::SimDisk::Call;
        constexpr Call calls[] = {Call::write,          Call::sync, Call::allocate,
                                  Call::sync_directory, Call::open, Call::remove};
        disk_.fail(calls[dice_.below(std::size(calls))],
                   {dice_.between(1, 20), dice_.one_in(2), EIO});
        io_error_planned_ = true;
        trace("a call will fail");
    } else if (disk_full_until_ == 0) {
        disk_.set_capacity(disk_.used() + dice_.below(2) * options_.journal.file_bytes);
        disk_full_until_ = turn_ + dice_.between(10, 200);
        trace("the disk is full");
    }
}

void Simulation::power_off_soon(End end) {
    power_off_ = end;
    const std::uint64_t calls = dice_.between(1, 12);
    disk_.power_off_at(calls);
    trace("it will end in the middle of call " + std::to_string(calls));
}

// Its figures end with it.
void Simulation::end_daemon() {
    if (daemon_.up()) {
        const core::Backlog::Figures backlog = daemon_.core().backlog().figures();
        paths_.pages_written += backlog.pages_written;
        paths_.pages_read += backlog.pages_read;
        paths_.pages_carried += backlog.pages_carried;
        paths_.checkpoints += daemon_.core().checkpoint().figures().checkpoints;
    }
    daemon_.end();
}

void Simulation::end_process(End end) {
    constexpr const char* words[] = {"stops cleanly", "is killed", "loses power"};
    trace(std::string("the daemon ") + words[static_cast<int>(end)] +
          (io_error_planned_ ? ", after an I/O error" : ""));
    backup_.reset();
    connections_.clear();
    end_daemon();
    if (end == End::power_lost) {
        disk_.crash(dice_.next());
    } else {
        disk_.kill();
        disk_.power_off_at(never);  // it was the process that went, in the middle of a call
    }
    power_off_.reset();
    power_off_at_promise_ = false;
    if (io_error_planned_) {
        // What the page cache is worth after an I/O error, nobody knows.
        end = end == End::killed ? End::power_lost : end;
        io_error_planned_ = false;
        disk_.heal();
    }
    judge_.restarted(end);
}

// The daemon ended by itself. It may, if a call of its failed.
void Simulation::after_failure() {
    if (!power_off_ && !io_error_planned_) {
        judge_.violate("the journal failed on a sound disk: " + daemon_.core().failure()->text);
        return;
    }
    end_process(power_off_ ? *power_off_ : dice_.one_in(2) ? End::killed : End::power_lost);
    start();
}

// Starts the daemon, however often it takes: a disaster may strike during recovery too.
void Simulation::start() {
    while (!over() && !start_once()) {}
}

// Whatever the disaster, what a start has to mend is no damage.
bool Simulation::store_is_sound() {
    const auto report = core::check_store(disk_);
    if (!report) {
        judge_.violate("the store cannot be checked: " + report.error().text);
    } else if (!report->sound()) {
        judge_.violate("the store is damaged: " + report->findings.front().text);
    }
    return report && report->sound();
}

bool Simulation::start_once() {
    ++starts_;
    daemon_.shift_wall(std::chrono::milliseconds(dice_.below(3000)));
    if (dice_.one_in(10)) {
        daemon_.shift_wall(-std::chrono::seconds(dice_.below(wall_shift_max.count())));
    }
    disk_.set_capacity(UINT64_MAX);
    disk_full_until_ = 0;
    if (!store_is_sound()) {
        return true;
    }
    const bool strike = disasters_.power_losses + disasters_.kills > 0 && dice_.one_in(4);
    if (strike && !hasty_) {
        power_off_ = disasters_.power_losses > 0 && dice_.one_in(2) ? End::power_lost : End::killed;
        if (disasters_.kills == 0) {
            power_off_ = End::power_lost;
        }
        disk_.power_off_at(dice_.between(1, 40));
    }
    // Where nothing is damaged, there is nothing to salvage either.
    options_.on_damage = dice_.one_in(3) ? core::OnDamage::salvage : core::OnDamage::refuse;
    if (const auto started = daemon_.start(options_); !started) {
        if (!power_off_) {
            judge_.violate("the store does not open: " + started.error().text);
            return true;
        }
        state_at_stop_.reset();
        end_process(*power_off_);
        return false;
    }
    const auto before = std::exchange(state_at_stop_, std::nullopt);
    if (const auto after = state(); before && *before != after) {
        judge_.violate("the start makes another state than there was before the stop:\n" +
                       before->describe() + "and then\n" + after.describe());
        return true;
    }
    for (const std::string& complaint : daemon_.core().take_complaints()) {
        judge_.violate("the start of a sound store complains: " + complaint);
    }
    for (std::uint64_t turns = 0; !daemon_.core().serving(); ++turns) {
        daemon_.pass(std::chrono::microseconds(50));
        judge_.set_time(daemon_.now().time_since_epoch().count(), wire::to_micros(daemon_.wall()));
        daemon_.begin_turn();
        work();
        daemon_.end_turn();
        if (daemon_.core().failure()) {
            if (!power_off_) {
                judge_.violate("the journal failed at start: " + daemon_.core().failure()->text);
                return true;
            }
            end_process(*power_off_);
            return false;
        }
        if (turns > turns_to_serve_max) {
            judge_.violate("the daemon started, and never serves");
            return true;
        }
    }
    trace("the daemon serves; recovery: " + daemon_.core().journal().recovery().verdict);
    check_queues();
    return true;
}

// A queue whose creation was confirmed is there, as it was; a memory queue under a new id.
void Simulation::check_queues() {
    std::map<std::string, const QueueRecord*> last;
    for (const QueueRecord& queue : judge_.queues()) {
        const QueueRecord*& known = last[queue.name];
        if (known == nullptr || known->id < queue.id) {
            known = &queue;
        }
    }
    for (const auto& [name, known] : last) {
        const engine::Queue* queue = daemon_.core().engine().find(name);
        const bool expired =
            habits_.expire_idle_ms != 0 && (queue == nullptr || queue->id() != known->id);
        if (known->delete_asked || expired) {
            continue;
        }
        if (queue == nullptr || queue->definition().durability != known->durability) {
            judge_.violate("queue " + name + " is lost or another");
        } else if (queue->durable() ? queue->id() != known->id : queue->id() <= known->id) {
            judge_.violate("queue " + name + " has the id " + std::to_string(queue->id().value()) +
                           " after a restart, and had " + std::to_string(known->id.value()));
        }
    }
}

test::CanonicalState Simulation::state() const {
    return test::canonical_state(daemon_.core().engine(), {daemon_.now(), daemon_.wall()});
}

void Simulation::stop_cleanly() {
    no_new_clients_ = true;
    daemon_.core().begin_stop();
    judge_.stopping();
    for (const auto& connection : connections_) {
        if (connection->session != nullptr) {
            connection->session->tell_stopping();
        }
    }
    const std::uint64_t starts_before = starts_;
    for (std::uint64_t turns = dice_.below(20); turns > 0 && !over(); --turns) {
        turn();
        if (starts_ != starts_before) {
            no_new_clients_ = false;
            return;  // something else ended it
        }
    }
    for (const auto& connection : connections_) {
        end_session(*connection);
    }
    connections_.clear();
    backup_.reset();
    for (std::uint64_t turns = 0; !over() && !daemon_.core().stopped(); ++turns) {
        if (turns > turns_to_stop_max) {
            judge_.violate("the daemon does not come to its end");
        }
        turn();
        if (starts_ != starts_before) {
            no_new_clients_ = false;
            return;
        }
    }
    no_new_clients_ = false;
    if (!over()) {
        const bool planned = io_error_planned_;
        io_error_planned_ = false;
        // Without room for a checkpoint that is owed, it may forget as much as one that is killed.
        const bool whole = !planned && !daemon_.core().owes_checkpoint();
        if (whole) {
            state_at_stop_ = state();
        }
        end_process(whole ? End::clean : planned ? End::power_lost : End::killed);
        if (planned) {
            disk_.heal();
        }
        start();
    }
}

// --- the end of the run

std::uint64_t Simulation::live_messages() {
    std::uint64_t live = 0;
    for (const auto& [name, queue] : daemon_.core().engine().queues()) {
        live += queue->live() - queue->purged();
    }
    return live;
}

// What the engine counts as it goes is what there is.
void Simulation::check_count() {
    const engine::Engine& engine = daemon_.core().engine();
    std::uint64_t count = 0;
    for (const auto& [name, queue] : engine.queues()) {
        count +=
            queue->live() - queue->ending() - queue->purged() + queue->numbers().on_their_way();
    }
    if (engine.messages() != count) {
        judge_.violate("the engine counts " + std::to_string(engine.messages()) +
                       " messages, and there are " + std::to_string(count));
    }
}

void Simulation::drain() {
    hasty_ = true;
    disk_.heal();
    disk_.power_off_at(never);
    power_off_.reset();
    options_.output_bytes_max = output_bytes_plenty;  // the last consumer is to stay
    const End ends[] = {End::power_lost, End::killed};
    end_process(disasters_.power_losses > 0 ? ends[dice_.below(2)] : End::killed);
    start();
    drain_once();
    if (!over()) {
        judge_.drained();
    }
    // Nothing of it comes back.
    if (!over()) {
        stop_cleanly();
    }
    if (over()) {
        return;
    }
    std::uint64_t waiting = 0;
    for (const auto& [name, queue] : daemon_.core().engine().queues()) {
        waiting += queue->live() - queue->purged() - queue->ending();  // of purges, at the start
    }
    if (waiting != 0) {
        judge_.violate("messages live again that were acked, and all was stopped cleanly:\n" +
                       state().describe());
    }
}

void Simulation::drain_once() {
    no_new_clients_ = true;
    if (over()) {
        return;
    }
    // Behind all that waits, on either clock, wherever that was set.
    daemon_.pass(wait_max);
    daemon_.shift_wall(wall_shift_max * wall_shifts_max);
    connect();
    connections_.back()->actor->drain();
    connections_.back()->reads_slowly = false;
    for (std::uint64_t turns = 0; !over(); ++turns) {
        if (turns > turns_to_drain_max) {
            judge_.violate("stuck: " + std::to_string(live_messages()) +
                           " messages live, and nothing delivers them");
            return;
        }
        daemon_.pass(std::chrono::ceil<std::chrono::microseconds>(habits_.group_rate.spacing()));
        turn();
        if (connections_.empty()) {
            judge_.violate("the last consumer was thrown out");
            return;
        }
        if (turns > 20 && live_messages() == 0) {
            return;
        }
    }
}

}  // namespace mqd::sim
