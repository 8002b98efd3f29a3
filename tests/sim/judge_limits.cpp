// What the judge makes of limits that hold for all queues together, and for a connection.

#include <algorithm>

#include "sim/judge.hpp"

namespace mqd::sim {

namespace {

constexpr std::uint64_t least_window_bytes = 4096;  // as the daemon has it

}  // namespace

// At most so many live, as far as anybody can know: also those of a queue that is gone may have
// become dead letters before. Only where somebody wants to know it.
std::uint64_t Judge::may_exist_in_all() const {
    if (total_limit_ == 0) {
        return 0;
    }
    return static_cast<std::uint64_t>(
        std::count_if(messages_.begin(), messages_.end(), [](const auto& one) {
            return !one.second.refused && one.second.gone == Durability::unspecified;
        }));
}

// Those that live for certain. What a crash may have brought back counts, and is not refused; nor
// are dead letters.
void Judge::check_total() {
    if (total_limit_ == 0) {
        return;
    }
    std::uint64_t certain = 0;
    for (const auto& [uid, message] : messages_) {
        const bool lives =
            message.kept != Durability::unspecified && may_exist(message) && !message.restored;
        certain += lives && !message.uncertain && !message.dying && !message.may_be_gone ? 1 : 0;
    }
    if (certain > total_limit_) {
        violate("there are " + std::to_string(certain) + " messages, and there may be " +
                std::to_string(total_limit_));
    }
}

// A frame is refused, with which there were at most so many messages.
void Judge::check_total_refusal(std::uint64_t total_max, const wire::ErrorFrame& error) {
    if (error.text.find("limits.messages") == std::string_view::npos) {
        return;
    }
    ++figures_.refused_in_total;
    if (error.code != ErrorCode::memory_full || error.limit != total_limit_) {
        violate("a frame is refused by limits.messages, and says another limit");
    }
    if (total_max <= total_limit_) {
        violate("a frame is refused by limits.messages, and with it there would be " +
                std::to_string(total_max) + " messages of " + std::to_string(total_limit_));
    }
}

// What is published to it now has to be refused.
bool Judge::beyond_disk(const QueueRecord& queue) const {
    return disk_limit_ != 0 && segment_bytes_ >= disk_limit_ &&
           queue.durability != Durability::memory;
}

// It was taken.
void Judge::check_room(Uid uid, const MessageRecord& message) {
    if (is_rendezvous(*message.producer->queue)) {
        handed_.push_back(uid);
    }
    if (message.beyond_disk) {
        violate(name(uid) + " is confirmed, and limits.disk_bytes was used up");
    }
}

void Judge::check_disk_refusal(bool beyond, const wire::ErrorFrame& error) {
    if (error.text.find("limits.disk_bytes") == std::string_view::npos) {
        return;
    }
    ++figures_.refused_in_total;
    if (error.code != ErrorCode::disk_full || error.limit != disk_limit_) {
        violate("a frame is refused by limits.disk_bytes, and says another limit");
    }
    if (!beyond) {
        violate("a frame is refused by limits.disk_bytes, which were not used up");
    }
}

// Of frames that were answered as a whole.
void Judge::note_credit(ProducerRecord& producer, std::uint64_t byte_limit) {
    while (!producer.frames.empty() && producer.frames.front().first <= producer.answered) {
        producer.bytes_answered += producer.frames.front().second;
        producer.frames.pop_front();
    }
    producer.window_bytes = byte_limit - producer.bytes_answered;
}

// Each has enough to go on, whatever the others have.
void Judge::check_credit(std::uint64_t bytes, std::size_t producers) {
    if (credit_limit_ != 0 && bytes > credit_limit_ + producers * least_window_bytes) {
        violate("the producers of a connection have credit for " + std::to_string(bytes) +
                " bytes, and the limit is " + std::to_string(credit_limit_));
    }
}

void Judge::check_leases(std::uint64_t held) {
    if (leases_limit_ != 0 && held > leases_limit_) {
        violate("a connection has " + std::to_string(held) + " messages leased, and may have " +
                std::to_string(leases_limit_));
    }
}

}  // namespace mqd::sim
