#include "sim/actor.hpp"

#include <algorithm>

#include "mqd/wire/admin.hpp"

namespace mqd::sim {

using client::HandleState;
using client::Session;
using wire::FrameType;

namespace {

constexpr std::uint64_t delay_ms_max = 300;
constexpr std::uint64_t ttl_ms_max = 1500;

client::SessionOptions session_options() {
    client::SessionOptions options;
    options.client_name = "actor";
    options.send_buffer_bytes = 2048;
    return options;
}

}  // namespace

Actor::Actor(const Habits& habits, test::Dice dice, Uid& next_uid, Inputs& inputs)
    : habits_(habits),
      dice_(dice),
      next_uid_(next_uid),
      inputs_(inputs),
      session_(session_options()) {}

const std::string& Actor::some_queue() {
    return habits_.queues[dice_.below(habits_.queues.size())];
}

std::optional<std::string> Actor::complaint() const {
    if (session_.state() != Session::State::closed || session_.ended_by_goodbye()) {
        return std::nullopt;
    }
    const Error& error = *session_.error();
    switch (error.code) {
        case ErrorCode::disconnected:
        case ErrorCode::output_overflow: return std::nullopt;
        default: return std::string(error_name(error.code)) + ": " + error.text;
    }
}

bool Actor::quiet() const {
    return std::all_of(consuming_.begin(), consuming_.end(),
                       [](const Consuming& consuming) { return consuming.held.empty(); });
}

void Actor::act(client::Time now) {
    if (session_.state() == Session::State::closed) {
        wants_out_ = true;
        return;
    }
    session_.advance(now);
    if (session_.state() != Session::State::open) {
        return;
    }
    look_at_replies();
    if (!started_) {
        start();
    }
    if (draining_) {
        drain_all();
        consume();
    } else if (dice_.percent(habits_.admin_percent)) {
        administer();
    } else if (dice_.one_in(40)) {
        dice_.one_in(2) ? open_something() : close_something();
    } else if (dice_.one_in(150)) {
        leave();
    } else {
        if (habits_.transacts && dice_.one_in(4)) {
            transact();
        }
        produce();
        consume();
    }
    if (session_.state() == Session::State::open && (draining_ || dice_.percent(70))) {
        session_.flush();
    }
}

void Actor::start() {
    started_ = true;
    if (draining_) {
        for (const std::string& queue : habits_.queues) {
            pause(queue, {false, false});
        }
        return;
    }
    for (std::size_t i = 0; i < habits_.made; ++i) {
        create(i);
    }
    for (std::uint64_t i = dice_.between(1, 3); i > 0; --i) {
        open_something();
    }
}

void Actor::create(std::size_t index) {
    wire::QueueCreate frame;
    frame.queue = habits_.queues[index];
    frame.options.durability = habits_.durabilities[index];
    frame.options.max_attempts = habits_.max_attempts[index];
    if (habits_.priorities[index]) {
        frame.options.priorities = 1;
    }
    if (habits_.max_messages != 0 && index * 2 < habits_.queues.size()) {  // no dead letters
        frame.options.max_messages = habits_.max_messages;
        frame.options.on_full = habits_.on_full;
    }
    if (habits_.rendezvous && index * 2 < habits_.queues.size() &&
        habits_.durabilities[index] == Durability::memory) {
        frame.options.max_messages = UINT64_MAX;
        frame.options.on_full = OnFull::wait;
    }
    if (index * 2 < habits_.queues.size()) {
        frame.options.group_in_flight = habits_.group_in_flight;
        if (habits_.group_rate.limits()) {
            frame.options.group_rate = habits_.group_rate;
        }
        frame.options.retry.emplace();
        for (const std::uint32_t ms : habits_.retry_ms) {
            frame.options.retry->emplace_back(ms);
        }
        if (habits_.ids) {
            frame.options.dedup_window_ms = static_cast<std::uint64_t>(
                wire::dedup_window_max.count());  // whatever happens to the clock
        }
        frame.options.ttl_ms = habits_.ttl_ms;
        frame.options.on_expired = habits_.on_expired;
    }
    if (habits_.expire_idle_ms != 0) {
        frame.options.expire_idle_ms = habits_.expire_idle_ms;
    }
    frame.options.undo_time_ms = habits_.undo_ms;
    if (habits_.history != 0) {
        frame.options.history = habits_.history;
        frame.options.history_time_ms = 0;
    }
    ask(frame, FrameType::queue_info);
}

void Actor::pause(const std::string& queue, const wire::Paused& paused) {
    wire::QueueUpdate frame;
    frame.queue = queue;
    frame.options.paused = paused.bits();
    ask(frame, FrameType::queue_info);
}

void Actor::change_rate() {
    wire::QueueUpdate frame;
    frame.queue = habits_.queues[dice_.below(habits_.queues.size() / 2)];
    frame.options.group_rate = habits_.group_rate;
    frame.options.group_rate->count *= dice_.one_in(2) ? 2 : 1;
    ask(frame, FrameType::queue_info);
}

// Of queues that are not there yet, too: dead letters are made when they are needed.
void Actor::drain_all() {
    for (const std::string& queue : habits_.queues) {
        const bool open = std::any_of(consuming_.begin(), consuming_.end(),
                                      [&](const Consuming& one) { return one.queue == queue; });
        ConsumerOptions options;
        options.window_messages = 500;
        options.lease = std::chrono::minutes(10);  // whatever it takes: the run is to end
        if (open) {
            continue;
        }
        if (const auto opening = session_.open_consumer(queue, options)) {
            consuming_.push_back({opening->handle, opening->correlation, {}, queue});
        }
    }
}

void Actor::look_at_replies() {
    look_at_transaction();
    std::erase_if(asked_, [&](CorrelationId correlation) {
        if (session_.reply(correlation) == nullptr) {
            return false;
        }
        session_.forget(correlation);
        return true;
    });
    // A handle whose opening failed, or that ended, is given back.
    const auto over = [&](HandleId handle, CorrelationId& opening, const client::Handle& state) {
        if (opening.value() != 0) {
            if (session_.reply(opening) == nullptr) {
                return false;
            }
            session_.forget(opening);
            opening = CorrelationId(0);
        }
        if (state.state != HandleState::ended) {
            return false;
        }
        session_.release(handle);
        return true;
    };
    std::erase_if(producing_, [&](Producing& one) {
        return over(one.handle, one.opening, session_.producer(one.handle));
    });
    std::erase_if(consuming_, [&](Consuming& one) {
        return over(one.handle, one.opening, session_.consumer(one.handle));
    });
    session_.clear_news();
}

void Actor::open_something() {
    if (producing_.size() + consuming_.size() >= 5) {
        return;
    }
    if (dice_.one_in(2)) {
        ProducerOptions options;
        if (dice_.one_in(3)) {
            options.durability = static_cast<Durability>(dice_.between(1, 3));
        }
        if (habits_.on_full == OnFull::wait || habits_.rendezvous) {
            options.wait = std::chrono::milliseconds(dice_.between(1, 400));
        }
        if (habits_.names && dice_.one_in(2)) {
            options.name = "p" + std::to_string(dice_.below(2));
        }
        const std::string& queue = some_queue();
        if (const auto opening = session_.open_producer(queue, options)) {
            const bool on_disk = options.durability == Durability::unspecified ||
                                 options.durability == Durability::disk;
            producing_.push_back({opening->handle, opening->correlation, options.name,
                                  options.name.empty() && on_disk && knows_ids(queue)});
        }
        return;
    }
    const std::size_t index = dice_.below(habits_.queues.size());
    const std::string& queue = habits_.queues[index];
    ConsumerOptions options;
    // Now and then one that is refused, unless it is the first.
    options.sharing =
        dice_.one_in(12) ? static_cast<Sharing>(dice_.below(3)) : habits_.sharings[index];
    options.window_messages = dice_.between(1, habits_.window_messages_max);
    options.window_bytes = dice_.between(1, 20'000);
    options.lease = std::chrono::milliseconds(dice_.between(1, habits_.lease_ms_max));
    options.renew_leases = dice_.one_in(2);
    if (const auto opening = session_.open_consumer(queue, options)) {
        consuming_.push_back({opening->handle, opening->correlation, {}, queue});
    }
}

void Actor::close_something() {
    if (!consuming_.empty() && dice_.one_in(2)) {
        Consuming& one = consuming_[dice_.below(consuming_.size())];
        if (session_.is_open(one.handle)) {
            one.held.clear();
            asked_.push_back(session_.close(one.handle));
        }
    } else if (!producing_.empty()) {
        const std::size_t index = dice_.below(producing_.size());
        const Producing one = producing_[index];
        if (session_.is_open(one.handle) && session_.producer(one.handle).unconfirmed() == 0) {
            asked_.push_back(session_.close(one.handle));
        } else if (one.opening.value() == 0) {
            session_.release(one.handle);  // closes it when the last line is answered
            producing_.erase(producing_.begin() + static_cast<std::ptrdiff_t>(index));
        }
    }
}

void Actor::leave() {
    if (dice_.one_in(3)) {
        session_.flush();
        session_.goodbye();
    } else {
        wants_out_ = true;
    }
}

// --- producing

void Actor::produce() {
    for (Producing& one : producing_) {
        if (!session_.is_open(one.handle) || dice_.one_in(2)) {
            continue;
        }
        client::ProducerHandle& handle = session_.producer(one.handle);
        note_confirmed(handle, one);
        if (handle.refusal()) {
            if (dice_.one_in(8)) {
                (void)handle.resume();
            }
        } else {
            publish_burst(handle, one);
        }
    }
}

bool Actor::knows_ids(std::string_view queue) const {
    const auto at = std::find(habits_.queues.begin(), habits_.queues.end(), queue);
    const auto index = static_cast<std::size_t>(at - habits_.queues.begin());
    return habits_.ids && index * 2 < habits_.queues.size() &&
           habits_.durabilities[index] == Durability::disk;
}

void Actor::note_confirmed(const client::ProducerHandle& handle, Producing& one) {
    if (handle.refusal()) {
        one.sent.clear();
    } else if (handle.unconfirmed() == 0 && !one.sent.empty()) {
        auto& taken = inputs_[{handle.incarnation, std::string()}];
        taken.insert(taken.end(), one.sent.begin(), one.sent.end());
        one.sent.clear();
    }
}

// A new one, unless it has a name and sent this line before; or one that was confirmed, once more.
std::optional<InputMessage> Actor::next_message(const client::ProducerHandle& handle,
                                                const Producing& one) {
    if (one.remembers && dice_.one_in(6)) {
        const std::vector<InputMessage>& taken = inputs_[{handle.incarnation, std::string()}];
        if (!taken.empty()) {
            return taken[dice_.below(taken.size())];
        }
    }
    if (!one.name.empty()) {
        const std::vector<InputMessage>& input = inputs_[{handle.incarnation, one.name}];
        const std::uint64_t at = handle.next_line().value() - 1;
        if (at < input.size()) {
            return input[at];
        }
    }
    if (next_uid_ > habits_.messages_max) {
        return std::nullopt;
    }
    const std::size_t size =
        dice_.one_in(4) ? dice_.between(8, habits_.body_bytes_max) : dice_.between(8, 60);
    return InputMessage{next_uid_, size, dice_.one_in(5)};
}

void Actor::publish_burst(client::ProducerHandle& handle, Producing& one) {
    const std::string& name = one.name;
    for (std::uint64_t i = dice_.below(habits_.burst_max + 1); i > 0; --i) {
        const auto message = next_message(handle, one);
        if (!message) {
            return;
        }
        const std::vector<std::byte> body = make_body(message->uid, message->body_bytes);
        client::Session& session = session_;
        const std::vector<Header> headers(message->with_header ? 1 : 0, Header{"n", "v"});
        // One that has them where the queue does not is refused, and so is its frame.
        const bool priorities = dice_.one_in(300) || has_priorities(handle.queue);
        const std::string id = "id " + std::to_string(message->uid);
        MessageOptions options = some_options(priorities);
        options.dedup_id = habits_.ids ? std::string_view(id) : std::string_view();
        const auto line = handle.send(body, headers, options);
        if (!line || !*line) {
            return;  // refused meanwhile, or no credit
        }
        if (message->uid == next_uid_) {
            ++next_uid_;
            if (!name.empty()) {
                inputs_[{handle.incarnation, name}].push_back(*message);
            }
            if (one.remembers) {
                one.sent.push_back(*message);
            }
        }
        if (dice_.one_in(10)) {
            session.flush();
        }
    }
}

bool Actor::has_priorities(std::string_view queue) const {
    const auto at = std::find(habits_.queues.begin(), habits_.queues.end(), queue);
    return at != habits_.queues.end() &&
           habits_.priorities[static_cast<std::size_t>(at - habits_.queues.begin())];
}

// One that some message of the queue may have.
MessageNumber Actor::some_number(std::string_view queue, std::uint64_t max) {
    const MessageNumber number(dice_.between(1, max));
    if (!has_priorities(queue)) {
        return number;
    }
    const auto level = static_cast<unsigned>(dice_.between(1, number_levels));
    return first_of_level(level).plus(number.value() - 1);
}

MessageOptions Actor::some_options(bool priorities) {
    MessageOptions options;
    if (priorities && !dice_.one_in(4)) {
        options.priority = static_cast<unsigned>(dice_.below(priority_max + 1));
    }
    if (habits_.groups && dice_.one_in(2)) {
        options.group = std::string_view("abc").substr(dice_.below(3), 1);
    }
    if (habits_.waits && dice_.one_in(3)) {
        const auto ms = static_cast<std::int64_t>(dice_.below(delay_ms_max));
        if (dice_.one_in(2)) {
            options.delay = std::chrono::milliseconds(ms);
        } else {
            options.due = WallTime(std::chrono::microseconds(habits_.wall_us + (ms - 50) * 1000));
        }
    }
    if (habits_.ttls && dice_.one_in(3)) {
        options.ttl = std::chrono::milliseconds(dice_.between(1, ttl_ms_max));
    }
    return options;
}

// --- consuming

void Actor::consume() {
    for (Consuming& one : consuming_) {
        if (!session_.is_open(one.handle)) {
            continue;
        }
        take_messages(one);
        settle(one);
    }
}

void Actor::take_messages(Consuming& consuming) {
    client::ConsumerHandle& handle = session_.consumer(consuming.handle);
    std::vector<MessageRange> lost;
    handle.take_lost(lost);
    for (const MessageRange& range : lost) {
        std::erase_if(consuming.held, [&](MessageNumber number) {
            return number >= range.first && number < range.end();
        });
    }
    Delivery delivery;
    for (std::uint64_t i = draining_ ? 1000 : dice_.below(12); i > 0; --i) {
        if (!handle.next(delivery)) {
            break;
        }
        consuming.held.push_back(delivery.number);
    }
}

void Actor::settle(Consuming& consuming) {
    client::ConsumerHandle& handle = session_.consumer(consuming.handle);
    std::vector<MessageNumber>& held = consuming.held;
    while (!held.empty() && (draining_ || dice_.percent(60))) {
        const std::size_t index = dice_.percent(80) ? 0 : dice_.below(held.size());
        std::size_t count = 1;  // consecutive numbers go as one range
        while (index + count < held.size() && held[index + count] == held[index].plus(count) &&
               !straggles(held[index]) && !straggles(held[index + count]) &&
               (draining_ || dice_.percent(85))) {
            ++count;
        }
        const MessageRange range{held[index], count};
        const std::uint64_t acked = straggles(held[index]) ? habits_.ack_percent : 0;
        const auto what = static_cast<unsigned>(acked + dice_.below(100 - acked));
        if (draining_ || what < habits_.ack_percent) {
            if (dice_.percent(habits_.ack_confirmed_percent)) {
                const auto confirmed = session_.ack_confirmed(consuming.handle, range);
                asked_.insert(asked_.end(), confirmed.correlations.begin(),
                              confirmed.correlations.end());
            } else {
                handle.ack(range);
            }
        } else if (what < habits_.ack_percent + 12) {
            NackOptions options;
            options.dead_letter =
                habits_.rejects && !consuming.queue.ends_with(".dead") && dice_.one_in(5);
            options.reason = dice_.one_in(2) ? "the dice said so" : "";
            if (habits_.waits && dice_.one_in(2)) {
                options.delay = std::chrono::milliseconds(dice_.below(delay_ms_max));
            }
            handle.nack(range, options);
        } else if (what < habits_.ack_percent + 18) {
            handle.extend(range, static_cast<std::uint32_t>(dice_.below(200)));
            break;
        } else {
            break;  // think about it; the lease may end meanwhile
        }
        const auto from = held.begin() + static_cast<std::ptrdiff_t>(index);
        held.erase(from, from + static_cast<std::ptrdiff_t>(count));
    }
}

// --- the administrator

}  // namespace mqd::sim
