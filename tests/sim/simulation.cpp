#include "sim/simulation.hpp"

#include <algorithm>

#include "daemon/core/check_store.hpp"

namespace mqd::sim {

namespace {

constexpr std::uint64_t backup_salt = 0xB4C;
constexpr std::uint64_t limits_salt = 0x71715;
constexpr std::uint64_t rendezvous_salt = 0x4E4D;
constexpr std::uint64_t undo_salt = 0x0BACC;
constexpr std::uint64_t group_rate_salt = 0x6A7E;
constexpr std::uint64_t turns_between_backups = 60;  // on the average

}  // namespace

Simulation::Simulation(std::uint64_t seed, const Disasters& disasters, bool traced)
    : disasters_(disasters),
      traced_(traced),
      dice_(seed),
      disk_(dice_.next()),
      daemon_(disk_),
      backup_dice_(seed ^ backup_salt) {
    takes_backups_ = backup_dice_.one_in(3);
    choose_options();
    choose_total_limits(seed);
    choose_rendezvous(seed);
    choose_undo(seed);
    choose_group_rate(seed);
}

Simulation::~Simulation() {
    backup_.reset();
    connections_.clear();
    daemon_.end();
}

// Rare branches are made common: each seed draws its own narrow limits.
void Simulation::choose_options() {
    using std::chrono::milliseconds;
    const auto ms = [&](std::uint64_t least, std::uint64_t most) {
        return milliseconds(dice_.between(least, most));
    };
    options_.journal.file_bytes = (dice_.one_in(3) ? 128 : 64) * 1024;
    options_.journal.bytes_max = options_.journal.file_bytes * dice_.between(3, 9);
    options_.queues_max = 6;
    options_.commit_delay_max = ms(1, 20);
    options_.written_sync_max = ms(1, 200);
    options_.seal_delay = ms(1, 50);
    options_.queue_defaults.lease = ms(20, 500);
    options_.message_bytes_max = 4096;
    options_.memory_bytes_max = dice_.one_in(4) ? 40'000 : 4'000'000;
    options_.output_bytes_max = dice_.one_in(3) ? 12'000 : output_bytes_plenty;
    options_.publish_credit_bytes = dice_.one_in(3) ? 10'000 : 10'000'000;
    options_.producer_credit_messages = dice_.one_in(3) ? 5 : 1000;

    // Paging of what waits: often forced, at sizes at which every border is met.
    core::BacklogOptions& backlog = options_.backlog;
    backlog.memory_bytes = dice_.one_in(3) ? 10'000'000 : dice_.between(200, 20'000);
    backlog.page_bytes = dice_.between(100, 10'000);
    backlog.flush_bytes = dice_.between(100, 30'000);
    backlog.segment_bytes =
        dice_.one_in(2) ? dice_.between(200, 1'000) : dice_.between(1'000, 100'000);
    backlog.own_segment_bytes = dice_.between(1, 20'000);
    backlog.scrub_bytes_per_second = dice_.one_in(2) ? 0 : dice_.between(1'000, 10'000'000);
    backlog.replay_bytes_max = dice_.between(2, 6) * options_.journal.file_bytes;
    if (!dice_.one_in(4)) {
        backlog.checkpoint_items = dice_.between(1, 12);
        backlog.checkpoint_chunk_bytes = dice_.between(1, 400);
    }

    constexpr Durability all[] = {Durability::disk, Durability::disk, Durability::written,
                                  Durability::memory};
    for (std::uint64_t i = dice_.between(1, 3); i > 0; --i) {
        habits_.queues.push_back("q" + std::to_string(i));
        habits_.durabilities.push_back(all[dice_.below(std::size(all))]);
    }
    choose_dead_letters();
    habits_.body_bytes_max = dice_.one_in(3) ? 3000 : 400;
    habits_.burst_max = dice_.between(2, 30);
    habits_.messages_max = dice_.between(50, 600);
    habits_.lease_ms_max = static_cast<std::uint32_t>(dice_.between(2, 300));
    habits_.window_messages_max = dice_.between(1, 60);
    habits_.ack_percent = static_cast<unsigned>(dice_.between(5, 80));
    habits_.ack_confirmed_percent = dice_.one_in(3) ? 90 : 25;
    habits_.admin_percent = dice_.one_in(4) ? 15 : 3;
    habits_.deletes = dice_.one_in(4);
    // From a source of its own, as the backups. It publishes to queues by name.
    habits_.transacts =
        test::Dice(options_.memory_bytes_max + habits_.messages_max).one_in(2) && !habits_.deletes;
    habits_.purges = dice_.one_in(4);
    // Likewise.
    if (test::Dice(options_.memory_bytes_max + habits_.messages_max + 1).one_in(2)) {
        habits_.history = 1'000'000;
        judge_.set_history();
    }
    habits_.straggler_every = dice_.one_in(2) ? dice_.between(3, 30) : 0;
    if (habits_.straggler_every != 0) {
        habits_.ack_percent = static_cast<unsigned>(dice_.between(60, 95));
    }
    habits_.names = dice_.one_in(2);
    options_.named_producers_max = dice_.one_in(4) ? 2 : 1000;
    connections_max_ = dice_.between(1, 5);
    pipe_bytes_max_ = dice_.one_in(3) ? 700 : 16 * 1024;
    work_steps_max_ = dice_.one_in(3) ? 1 : 4;
    turn_time_max_ = std::chrono::microseconds(dice_.one_in(2) ? 500 : 8000);
    choose_moves();
}

// From a source of its own, as the backups.
void Simulation::choose_total_limits(std::uint64_t seed) {
    test::Dice dice(seed ^ limits_salt);
    options_.messages_max = dice.one_in(4) ? dice.between(10, 120) : 0;
    options_.leases_max = dice.one_in(3) ? dice.between(1, 20) : 0;
    judge_.set_total_limits(options_.messages_max, options_.leases_max);
    options_.disk_bytes_max = dice.one_in(4) ? dice.between(1'000, 30'000) : 0;
    judge_.set_disk_limit(options_.disk_bytes_max);
    if (dice.one_in(4)) {
        options_.connection_credit_bytes = dice.between(4'000, 40'000);
        judge_.set_credit_limit(options_.connection_credit_bytes);
    }
}

// Likewise. Nothing is published to one for later, nor with an id, nor under the name of a
// producer, and nothing is moved there.
void Simulation::choose_rendezvous(std::uint64_t seed) {
    test::Dice dice(seed ^ rendezvous_salt);
    if (habits_.ids || !habits_.moves_to.empty() || !dice.one_in(3)) {
        return;
    }
    habits_.rendezvous = true;
    habits_.waits = false;
    habits_.names = false;
    judge_.set_rendezvous(options_.output_bytes_max >= output_bytes_plenty);
}

// Likewise. In half of the runs what is purged is kept for longer than they last.
void Simulation::choose_undo(std::uint64_t seed) {
    test::Dice dice(seed ^ undo_salt);
    if (!dice.one_in(3)) {
        return;
    }
    const bool for_ever = dice.one_in(2);
    habits_.undo_ms =
        for_ever ? static_cast<std::uint64_t>(wire::undo_time_max.count()) : dice.between(1, 3'000);
    habits_.purges = true;
    habits_.admin_percent = std::max(habits_.admin_percent, 8u);
    judge_.set_undo(for_ever);
}

// Likewise.
void Simulation::choose_group_rate(std::uint64_t seed) {
    test::Dice dice(seed ^ group_rate_salt);
    if (!habits_.groups || dice.one_in(3)) {
        return;
    }
    habits_.group_rate = {static_cast<std::uint32_t>(dice.between(20, 2000))};
    const Rate fastest{habits_.group_rate.count * 2};
    judge_.set_group_spacing(fastest.spacing());
}

// To one queue, which is as durable as any, so that what is moved is no less safe there. Such runs
// have no dead letters, which could be moved on.
void Simulation::choose_moves() {
    if (dice_.one_in(4)) {
        habits_.expire_idle_ms = dice_.between(1, 60);
        judge_.set_expires();
    }
    const std::size_t queues = habits_.queues.size() / 2;
    // What is moved begins to live anew, which the judge does not follow.
    const bool expires = habits_.ttls || habits_.ttl_ms != 0;
    const bool buries = habits_.max_attempts[0] != 0 || habits_.on_full == OnFull::dead_letter;
    if (queues < 2 || buries || expires || !dice_.one_in(2)) {
        return;
    }
    const auto begin = habits_.durabilities.begin();
    const auto safest = std::max_element(begin, begin + static_cast<std::ptrdiff_t>(queues));
    habits_.moves_to = habits_.queues[static_cast<std::size_t>(safest - begin)];
    habits_.rejects = false;
    habits_.deletes = false;
    habits_.admin_percent = 15;
}

// Each queue has its dead letters, which clients consume too, and make in some runs.
void Simulation::choose_dead_letters() {
    const std::size_t queues = habits_.queues.size();
    const auto limit = static_cast<std::uint32_t>(dice_.one_in(2) ? 0 : dice_.between(1, 5));
    judge_.set_attempts_limit(limit);
    habits_.max_attempts.assign(queues, limit);
    for (std::size_t i = 0; i < queues; ++i) {
        habits_.queues.push_back(habits_.queues[i] + ".dead");
        habits_.durabilities.push_back(habits_.durabilities[i]);
        habits_.max_attempts.push_back(0);
    }
    if (dice_.one_in(4)) {
        habits_.max_messages = dice_.between(5, 60);
        const bool makes_room = dice_.one_in(2);
        // From a source of its own, as the backups.
        const bool loses = test::Dice(habits_.max_messages * 8 + limit).one_in(2);
        habits_.on_full = makes_room ? (loses ? OnFull::drop_oldest : OnFull::dead_letter)
                                     : (loses ? OnFull::reject : OnFull::wait);
        judge_.set_messages_limit(habits_.max_messages, habits_.on_full);
    }
    habits_.made = dice_.one_in(2) ? queues : habits_.queues.size();
    habits_.waits = dice_.one_in(2);
    habits_.groups = dice_.one_in(3);
    habits_.ids = dice_.one_in(3);
    habits_.group_in_flight = static_cast<std::uint32_t>(dice_.between(1, 3));
    judge_.set_group_in_flight(habits_.group_in_flight);
    for (std::uint64_t i = dice_.one_in(3) ? dice_.between(1, 3) : 0; i > 0; --i) {
        habits_.retry_ms.push_back(static_cast<std::uint32_t>(dice_.below(200)));
    }
    judge_.set_retry(habits_.retry_ms);
    std::set<std::string, std::less<>> with_priorities;
    for (std::size_t i = 0; i < habits_.queues.size(); ++i) {
        habits_.priorities.push_back(i < queues && dice_.one_in(3));
        if (habits_.priorities.back()) {
            with_priorities.insert(habits_.queues[i]);
        }
    }
    judge_.set_priorities(std::move(with_priorities));
    habits_.ttls = dice_.one_in(3);
    habits_.ttl_ms = dice_.one_in(5) ? dice_.between(20, 3000) : 0;
    habits_.on_expired = dice_.one_in(2) ? OnExpired::dead_letter : OnExpired::drop;
    judge_.set_ttl(habits_.ttl_ms, habits_.on_expired == OnExpired::dead_letter);
    for (std::size_t i = 0; i < habits_.queues.size(); ++i) {
        habits_.sharings.push_back(dice_.one_in(3)   ? Sharing::single_active
                                   : dice_.one_in(6) ? Sharing::exclusive
                                                     : Sharing::shared);
    }
}

void Simulation::run() {
    start();
    while (turn_ < disasters_.turns && !over()) {
        if (dice_.one_in(disasters_.turns_between)) {
            disaster();
        } else {
            turn();
        }
    }
    if (!over()) {
        drain();
    }
    backup_.reset();
    connections_.clear();
    end_daemon();
}

// --- a turn

void Simulation::turn() {
    ++turn_;
    const std::uint64_t promises = judge_.promises();
    clients_act();
    daemon_.pass(
        std::chrono::microseconds(dice_.below(static_cast<std::uint64_t>(turn_time_max_.count()))));
    judge_.set_time(daemon_.now().time_since_epoch().count(), wire::to_micros(daemon_.wall()));
    daemon_.begin_turn();
    judge_.set_segment_bytes(daemon_.core().backlog().segment_bytes());
    for (const auto& connection : connections_) {
        if (chance(60)) {
            bytes_up(*connection);
        }
    }
    backup_turn();
    work();
    if (power_off_ && disk_.is_off()) {
        // It ended in the middle of that call, and does nothing after it.
        end_process(*power_off_);
        start();
        return;
    }
    daemon_.end_turn();
    if (daemon_.core().backlog().figures().unreadable_messages > 0) {
        judge_.some_are_set_aside(io_error_planned_);
    }
    for (const std::string& notice : daemon_.core().take_notices()) {
        trace(notice);
        if (notice.starts_with("there is need of the room")) {
            judge_.gave_way();
        }
    }
    check_count();
    hear();
    for (const auto& connection : connections_) {
        if (chance(connection->reads_slowly ? 3 : 70)) {
            bytes_down(*connection);
        }
    }
    close_sessions();
    if (daemon_.core().failure() && !over()) {
        after_failure();
    } else if (power_off_at_promise_ && judge_.promises() > promises &&
               disk_.unsynced_writes() > 0 && !over()) {
        end_process(End::power_lost);
        start();
    }
    if (disk_full_until_ != 0 && turn_ >= disk_full_until_) {
        disk_full_until_ = 0;
        disk_.set_capacity(UINT64_MAX);
    }
}

void Simulation::work() {
    test::SimWorker* const workers[] = {&daemon_.commit(), &daemon_.background()};
    for (std::uint64_t steps = hasty_ ? 8 : dice_.below(work_steps_max_ + 1); steps > 0; --steps) {
        test::SimWorker& worker = *workers[dice_.below(2)];
        if (worker.has_done() && dice_.one_in(2)) {
            worker.run_done();
        } else if (worker.has_work()) {
            worker.run_work();
        } else if (worker.has_done()) {
            worker.run_done();
        }
    }
}

// --- backups

void Simulation::backup_turn() {
    if (!takes_backups_) {
        return;
    }
    if (!backup_ && !no_new_clients_ && daemon_.core().serving() && !daemon_.core().stopping() &&
        backup_dice_.one_in(turns_between_backups)) {
        trace("a backup is asked for");
        backup_ = std::make_unique<BackupTaker>(daemon_.core(), backup_dice_.fork());
    }
    if (!backup_) {
        return;
    }
    backup_->act();
    if (backup_->copy() != nullptr) {
        judge_copy(*backup_->copy());
    }
    if (backup_->over()) {
        trace(backup_->copy() != nullptr ? "the backup is whole" : "the backup has ended early");
        backup_.reset();
    }
}

// Whatever went on meanwhile, the copy is a store without damage, and opens.
void Simulation::judge_copy(const test::SimDisk::Image& copy) {
    ++paths_.backups;
    test::SimDisk disk;
    disk.load(copy);
    const auto report = core::check_store(disk);
    if (!report) {
        return judge_.violate("a backup cannot be checked: " + report.error().text);
    }
    if (!report->sound()) {
        return judge_.violate("a backup is damaged: " + report->findings.front().text);
    }
    test::SimDaemon restored(disk);
    if (const auto started = restored.start(options_); !started) {
        return judge_.violate("a backup does not open: " + started.error().text);
    }
}

// --- clients

void Simulation::connect() {
    Identity identity;
    identity.uid = static_cast<std::uint32_t>(dice_.below(5));
    identity.gid = 7;
    identity.pid = next_pid_++;
    auto connection = std::make_unique<Connection>(judge_, identity, traced_);
    connection->actor = std::make_unique<Actor>(habits_, dice_.fork(), next_uid_, inputs_);
    connection->session = std::make_unique<core::Session>(daemon_.core(), identity, nullptr);
    connection->reads_slowly = dice_.one_in(6);
    connections_.push_back(std::move(connection));
}

void Simulation::clients_act() {
    if (!no_new_clients_ && connections_.size() < connections_max_ && dice_.one_in(4) &&
        daemon_.core().serving() && !daemon_.core().stopping()) {
        connect();
    }
    habits_.wall_us = wire::to_micros(daemon_.wall());
    for (const auto& connection : connections_) {
        Actor& actor = *connection->actor;
        if (connection->cut || !chance(60)) {
            continue;
        }
        actor.act(std::chrono::duration_cast<std::chrono::microseconds>(
            daemon_.now().time_since_epoch()));
        if (const auto complaint = actor.complaint()) {
            judge_.violate("a client closed its session: " + *complaint);
        }
        connection->cut = actor.wants_out();
        client::Session& session = actor.session();
        while (session.output_bytes() > 0 && connection->up.size() < pipe_bytes_max_) {
            const wire::Bytes output = session.output();
            connection->up.insert(connection->up.end(), output.begin(), output.end());
            session.sent(output.size());
        }
    }
}

void Simulation::bytes_up(Connection& connection) {
    std::vector<std::byte>& up = connection.up;
    if (connection.session == nullptr || connection.session->closing() || up.empty()) {
        return;
    }
    const std::size_t count = chance(50) ? up.size() : dice_.between(1, up.size());
    // A copy that ends where the bytes end: a sanitizer sees what reads too far.
    const std::vector<std::byte> bytes(up.begin(), up.begin() + static_cast<std::ptrdiff_t>(count));
    up.erase(up.begin(), up.begin() + static_cast<std::ptrdiff_t>(count));
    // Where the daemon may close it in the middle, the judge is told of each byte that counted.
    const bool may_close = options_.output_bytes_max < output_bytes_plenty;
    std::size_t step = 1;
    for (std::size_t at = 0; at < bytes.size() && !connection.session->closing(); at += step) {
        const auto rest = wire::Bytes(bytes).subspan(at);
        step = may_close ? 1 : connection.tap.up_to_transact(rest);
        const auto piece = rest.first(step);
        if (!connection.session->overflowed()) {
            connection.tap.heard_in(piece);
        }
        connection.session->receive(piece);
        if (connection.tap.transacts()) {
            hear(connection);  // a refusal comes at once
            connection.tap.answered_at_once();
        }
    }
    const auto& reason = connection.session->close_reason();
    const bool expected = may_close && reason && reason->code == ErrorCode::output_overflow;
    if (expected) {
        end_session(connection);
    } else if (connection.session->closing() && reason) {
        judge_.violate("the daemon closed a session: " + reason->text);
    }
}

void Simulation::bytes_down(Connection& connection) {
    std::vector<std::byte>& down = connection.down;
    if (connection.session != nullptr && down.size() < pipe_bytes_max_) {
        const core::OutQueue& output = connection.session->output();
        std::size_t room = pipe_bytes_max_ - down.size();
        wire::Bytes pieces[16];
        std::size_t moved = 0;
        for (std::size_t i = 0, n = output.gather(pieces); i < n && room > 0; ++i) {
            const wire::Bytes piece = pieces[i].first(std::min(room, pieces[i].size()));
            down.insert(down.end(), piece.begin(), piece.end());
            room -= piece.size();
            moved += piece.size();
        }
        if (moved > 0) {
            connection.session->output_sent(moved);
            connection.sent += moved;
        }
    }
    if (!down.empty() && !connection.cut) {
        const std::size_t count = chance(50) ? down.size() : dice_.between(1, down.size());
        const std::vector<std::byte> bytes(down.begin(),
                                           down.begin() + static_cast<std::ptrdiff_t>(count));
        down.erase(down.begin(), down.begin() + static_cast<std::ptrdiff_t>(count));
        connection.actor->session().receive(bytes);
    }
    if (down.empty() && connection.session == nullptr) {
        connection.actor->session().disconnected({ErrorCode::disconnected, "end of stream"});
        connection.cut = true;
    }
}

// --- what came out

void Simulation::hear() {
    for (const auto& connection : connections_) {
        hear(*connection);
    }
    for (const auto& connection : connections_) {
        connection->tap.tell_deliveries();
    }
    judge_.turn_ended();
    std::vector<core::Session*> with_output;
    daemon_.core().take_sessions_with_output(with_output);
}

void Simulation::hear(Connection& connection) {
    if (connection.session == nullptr) {
        return;
    }
    const core::OutQueue& output = connection.session->output();
    if (connection.sent + output.bytes() == connection.heard) {
        return;
    }
    std::vector<wire::Bytes> pieces(64);
    std::size_t n = output.gather(pieces);
    while (n == pieces.size()) {
        pieces.resize(n * 4);
        n = output.gather(pieces);
    }
    std::uint64_t skip = connection.heard - connection.sent;
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t heard =
            static_cast<std::size_t>(std::min<std::uint64_t>(skip, pieces[i].size()));
        skip -= heard;
        connection.tap.heard_out(pieces[i].subspan(heard));
    }
    connection.heard = connection.sent + output.bytes();
}

void Simulation::end_session(Connection& connection) {
    if (connection.session != nullptr) {
        connection.tap.ended();
        connection.session.reset();
    }
}

void Simulation::close_sessions() {
    for (const auto& connection : connections_) {
        const core::Session* session = connection->session.get();
        if (session == nullptr) {
            continue;
        }
        const bool said_all = session->closing() && session->output().empty();
        // What a client sent before it closed may still arrive.
        const bool gone = connection->cut && (connection->up.empty() || dice_.one_in(2));
        if (said_all || session->overflowed() || gone) {
            end_session(*connection);
        }
    }
    std::erase_if(connections_, [](const auto& connection) {
        return connection->session == nullptr && connection->cut;
    });
}

}  // namespace mqd::sim
