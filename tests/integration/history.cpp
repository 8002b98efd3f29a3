#include "integration/history.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

#include "support/dice.hpp"

namespace mqd::test {

namespace {

constexpr std::size_t violations_max = 50;  // kept; one is enough to fail

std::string text_of(const MessageKey& key) {
    return key.queue + ':' + std::to_string(key.incarnation) + ':' + std::to_string(key.number);
}

std::string text_of(const std::pair<std::uint32_t, std::uint64_t>& author) {
    return "message " + std::to_string(author.second) + " of producer " +
           std::to_string(author.first);
}

// "producer serial filler" -> producer, serial
std::optional<std::pair<std::uint32_t, std::uint64_t>> parse_author(std::string_view body) {
    std::pair<std::uint32_t, std::uint64_t> author;
    const char* const end = body.data() + body.size();
    const auto producer = std::from_chars(body.data(), end, author.first);
    if (producer.ec != std::errc{} || producer.ptr == end || *producer.ptr != ' ') {
        return std::nullopt;
    }
    const auto serial = std::from_chars(producer.ptr + 1, end, author.second);
    if (serial.ec != std::errc{} || serial.ptr == end || *serial.ptr != ' ') {
        return std::nullopt;
    }
    return author;
}

}  // namespace

std::string make_body(std::uint32_t producer, std::uint64_t serial, std::uint64_t filler_max) {
    std::string body = std::to_string(producer) + ' ' + std::to_string(serial) + ' ';
    Dice dice(serial * 1'000'003 + producer);
    const std::uint64_t words = dice.below(filler_max / 8 + 1);
    for (std::uint64_t i = 0; i < words; ++i) {
        const std::uint64_t word = dice.next();
        body.append(reinterpret_cast<const char*>(&word), sizeof word);
    }
    return body;
}

void History::violation(std::string text) {
    if (violations_.size() < violations_max) {
        violations_.push_back(std::move(text));
    }
}

// --- producers

void History::published(std::uint32_t producer, std::uint64_t serial) {
    const std::lock_guard lock(mutex_);
    ++events_;
    figures_.published += sent_.try_emplace({producer, serial}).second ? 1 : 0;
}

void History::confirmed(std::uint32_t producer, std::uint64_t serial, const MessageKey& key) {
    const std::lock_guard lock(mutex_);
    ++events_;
    ++figures_.confirmed;
    const Author author{producer, serial};
    const auto at = sent_.find(author);
    if (at == sent_.end()) {
        return violation("confirmed, but never published: " + text_of(author));
    }
    if (at->second.fate != Fate::unknown) {
        violation("answered twice: " + text_of(author));
    }
    at->second.fate = Fate::confirmed;
    note_key(author, at->second, key);
}

void History::refused(std::uint32_t producer, std::uint64_t serial) {
    const std::lock_guard lock(mutex_);
    ++events_;
    ++figures_.refused;
    const Author author{producer, serial};
    Sent& sent = sent_[author];
    if (sent.fate != Fate::unknown) {
        violation("answered twice: " + text_of(author));
    }
    if (sent.delivered) {
        violation("refused, but delivered: " + text_of(author));
    }
    sent.fate = Fate::refused;
}

// A message has one id, and an id one message.
void History::note_key(const Author& author, Sent& sent, const MessageKey& key) {
    if (sent.key.number != 0 && sent.key != key) {
        violation(text_of(author) + " has two ids: " + text_of(sent.key) + " and " + text_of(key));
        return;
    }
    const auto [at, is_new] = numbers_.try_emplace(key, Seen{author, {}, true, false, 0});
    if (!is_new && at->second.author != author) {
        violation("the id " + text_of(key) + " was given to " + text_of(at->second.author) +
                  " and to " + text_of(author));
        return;
    }
    if (sent.key.number == 0) {
        sent.key = key;
        check_order(author, key);
    }
}

// What one producer published first has the lower number.
void History::check_order(const Author& author, const MessageKey& key) {
    std::map<MessageKey, std::uint64_t>& mine = by_number_[author.first];
    const auto at = mine.emplace(key, author.second).first;
    if (at != mine.begin() && std::prev(at)->second > author.second) {
        violation("out of order: " + text_of(author) + " has the id " + text_of(key) +
                  ", behind a later one");
    }
    if (std::next(at) != mine.end() && std::next(at)->second < author.second) {
        violation("out of order: " + text_of(author) + " has the id " + text_of(key) +
                  ", before an earlier one");
    }
}

// --- consumers

void History::delivered(const SessionKey& session, const MessageKey& key, std::uint32_t attempt,
                        std::string_view body) {
    const std::lock_guard lock(mutex_);
    ++events_;
    ++figures_.deliveries;
    const auto author = parse_author(body);
    const auto at = author ? sent_.find(*author) : sent_.end();
    if (at == sent_.end()) {
        return violation("delivered, but never published: " + text_of(key));
    }
    if (body != make_body(author->first, author->second, filler_max_)) {
        violation("a wrong body: " + text_of(key) + ", " + text_of(*author));
    }
    if (at->second.fate == Fate::refused) {
        violation("refused, but delivered: " + text_of(*author));
    }
    if (attempt == 0) {
        violation("delivered with attempt 0: " + text_of(key));
    }
    figures_.redeliveries += at->second.delivered ? 1 : 0;
    at->second.delivered = true;
    note_key(*author, at->second, key);
    const auto number = numbers_.find(key);
    if (number == numbers_.end()) {
        return;
    }
    Seen& seen = number->second;
    if (attempt == 1) {
        check_session_order(session, key);
    }
    check_holder(session, key, seen);
    if (seen.holder.run <= session.run) {
        seen.holder = session;
        seen.given_back = false;
    }
}

// First deliveries come in the order of the numbers.
void History::check_session_order(const SessionKey& session, const MessageKey& key) {
    std::uint64_t& last = last_first_delivery_[session];
    if (key.number <= last && key.number > given_back_up_to_) {
        violation("first deliveries out of order: " + text_of(key) + " behind number " +
                  std::to_string(last));
    }
    last = std::max(last, key.number);
}

// One consumer at a time has it, and after a confirmed ack nobody. What an earlier run of the
// daemon delivered can be read late, out of the socket that it left behind.
void History::check_holder(const SessionKey& session, const MessageKey& key, const Seen& seen) {
    if (seen.ended && seen.ended_in <= session.run) {
        violation("delivered after its ack was confirmed: " + text_of(key));
    }
    if (!seen.given_back && seen.holder.run == session.run &&
        !ended_sessions_.contains(seen.holder)) {
        violation("delivered while another consumer has it: " + text_of(key));
    }
}

void History::ack_confirmed(const SessionKey& session, const MessageKey& key) {
    const std::lock_guard lock(mutex_);
    ++events_;
    ++figures_.acks_confirmed;
    const auto at = numbers_.find(key);
    if (at == numbers_.end()) {
        return violation("acked, but never delivered: " + text_of(key));
    }
    if (at->second.holder.run > session.run) {
        violation("its ack was confirmed, and a later run delivered it: " + text_of(key));
    }
    at->second.ended = true;
    at->second.ended_in = session.run;
}

void History::nacking(const SessionKey& session, const MessageKey& key) {
    const std::lock_guard lock(mutex_);
    ++events_;
    const auto at = numbers_.find(key);
    if (at != numbers_.end() && at->second.holder == session) {
        at->second.given_back = true;
    }
}

void History::ending(const SessionKey& session) {
    const std::lock_guard lock(mutex_);
    ++events_;
    ended_sessions_.insert(session);
    for (const auto& [key, seen] : numbers_) {
        given_back_up_to_ = std::max(given_back_up_to_, key.number);
    }
}

// --- the judge

void History::fault(std::string text) {
    const std::lock_guard lock(mutex_);
    violation(std::move(text));
}

void History::finish() {
    const std::lock_guard lock(mutex_);
    std::uint64_t lost = 0;
    for (const auto& [author, sent] : sent_) {
        if (sent.fate == Fate::confirmed && !sent.delivered) {
            ++lost;
            violation("lost: " + text_of(author) + ", confirmed as " + text_of(sent.key));
        }
    }
    if (lost > 0) {
        violation(std::to_string(lost) + " confirmed messages lost in all");
    }
}

std::vector<std::string> History::violations() const {
    const std::lock_guard lock(mutex_);
    return violations_;
}

History::Figures History::figures() const {
    const std::lock_guard lock(mutex_);
    return figures_;
}

std::uint64_t History::events() const {
    const std::lock_guard lock(mutex_);
    return events_;
}

}  // namespace mqd::test
