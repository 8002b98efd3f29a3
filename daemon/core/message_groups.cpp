#include "daemon/core/message_groups.hpp"

#include "daemon/core/core.hpp"
#include "daemon/core/retry_hint.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::core {

namespace {

// FNV-1a (64 bits, http://www.isthe.com/chongo/tech/comp/fnv/), without its two lowest bits. It
// lies in checkpoints, so it stays as it is.
engine::GroupId group_of(wire::Bytes key) {
    std::uint64_t hash = 0xCBF29CE484222325u;
    for (const std::byte byte : key) {
        hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001B3u;
    }
    return engine::GroupId(hash >> (64 - engine::group_id_bits));
}

}  // namespace

void append_members(wire::Bytes batch, std::uint64_t position,
                    std::vector<engine::GroupMember>& members) {
    wire::BatchReader reader(batch);
    for (std::uint64_t index = position;; ++index) {
        const auto message = reader.next();
        if (!message) {
            return;
        }
        std::optional<wire::Bytes> key;
        bool dead = false;
        wire::AttributeReader attributes(message->attributes);
        while (const auto attribute = attributes.next()) {
            dead |= attribute->id == static_cast<std::uint16_t>(wire::AttributeId::dead_letter);
            if (attribute->id == static_cast<std::uint16_t>(wire::AttributeId::group) && !key) {
                key = attribute->value;
            }
        }
        if (key && !dead) {
            members.push_back({MessageNumber(index), group_of(*key)});
        }
    }
}

// Room for those of the batch that belong to groups. A group that is kept without messages takes
// the place of the last one that it had.
Result<void> Core::reserve_members(const engine::Queue& queue) const {
    if (batch_.members.empty()) {
        return {};
    }
    const std::uint64_t there = engine_.grouped_messages() + engine_.kept_groups();
    if (there + admitted_members_ + batch_.members.size() > options_.grouped_max) {
        return Error{ErrorCode::memory_full, "limits.grouped_messages is used up",
                     options_.grouped_max, retry_after_ms};
    }
    // Checkpoints tell them, and grow: that room is kept for what is there already.
    if (queue.durable() && (backlog_->refusal() || journal_->disk_full())) {
        return Error{ErrorCode::disk_full, "the disk is full: nothing is taken that has a group", 0,
                     retry_after_ms};
    }
    return {};
}

void Core::append_add_command(engine::Queue& queue, const BatchPart& part, CommitGroup& group) {
    const auto members = batch_.members_of(part);
    group.commands.push_back({PendingCommand::Kind::add, queue.definition().durability, &queue,
                              part.block, static_cast<std::uint32_t>(group.members.size()),
                              static_cast<std::uint32_t>(members.size())});
    group.members.insert(group.members.end(), members.begin(), members.end());
    admitted_members_ += members.size();
}

}  // namespace mqd::core
