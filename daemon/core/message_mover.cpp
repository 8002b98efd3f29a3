#include "daemon/core/message_mover.hpp"

#include <cstring>

#include "daemon/core/core.hpp"
#include "daemon/core/record.hpp"
#include "daemon/storage/planted_fault.hpp"

namespace mqd::core {

namespace {

bool stays_behind(std::uint16_t attribute, bool dead) {
    switch (static_cast<wire::AttributeId>(attribute)) {
        case wire::AttributeId::dead_letter:
        case wire::AttributeId::delay:
        case wire::AttributeId::due: return true;
        case wire::AttributeId::ttl: return dead;        // elsewhere it begins anew
        case wire::AttributeId::dedup_id: return !dead;  // it is another message there
        case wire::AttributeId::group:
        case wire::AttributeId::header:
        case wire::AttributeId::priority: break;
    }
    return false;
}

}  // namespace

void MessageMover::copy_attributes(wire::Bytes attributes, std::vector<std::byte>& to, bool dead) {
    wire::Writer writer(to);
    wire::AttributeReader reader(attributes);
    while (const auto attribute = reader.next()) {
        if (stays_behind(attribute->id, dead)) {
            continue;
        }
        writer.number(static_cast<std::uint16_t>(attribute->id |
                                                 (attribute->critical ? wire::critical_bit : 0)));
        writer.string16(wire::as_text(attribute->value));
    }
}

void MessageMover::leave_out_group(std::vector<std::byte>& attributes) {
    std::vector<std::byte> kept;
    wire::Writer writer(kept);
    wire::AttributeReader reader(attributes);
    while (const auto attribute = reader.next()) {
        if (attribute->id != static_cast<std::uint16_t>(wire::AttributeId::group)) {
            writer.number(static_cast<std::uint16_t>(
                attribute->id | (attribute->critical ? wire::critical_bit : 0)));
            writer.string16(wire::as_text(attribute->value));
        }
    }
    attributes = std::move(kept);
}

Block* MessageMover::make_block(const std::vector<std::byte>& batch, std::uint32_t count) {
    Block* made = Block::create(count, static_cast<std::uint32_t>(batch.size()));
    const auto bad = wire::check_batch(batch, count, wire::message_body_bytes_hard_max,
                                       made->offsets(), wire::Author::daemon);
    MQD_ASSERT(!bad, count, batch.size());  // it was checked when it came in
    std::memcpy(made->data(), batch.data(), batch.size());
    return made;
}

void MessageMover::append(engine::Queue& from, std::span<const MessageRange> ranges,
                          engine::Queue& to, const Session* by) {
    TakenBatch& copy = core_.batch_;
    core_.lifetimes_.used(from);
    core_.lifetimes_.used(to);
    MQD_ASSERT(ranges.size() <= remove_ranges_max && ranges.size() <= copy.count(), ranges.size());
    const Durability there = to.definition().durability;
    const Durability here = from.durable() ? from.definition().durability : there;
    const bool later = from.durable() && !to.durable();  // it is there when it is gone here
    std::size_t bytes =
        2 * record_header_bytes + 8 + ranges.size() * 16 + delay_record_bytes(copy.delays.size());
    for (const BatchPart& part : copy.parts) {
        part.block->queue = to.id();
        bytes += record_header_bytes + messages_fixed_bytes + part.block->bytes;
        if (!later) {
            part.block->first =
                core_.engine_.admit_add(to, part.block->count, part.priority).range.first;
        }
    }
    if (!later) {
        copy.place(to.id());
    }
    core_.history_.moved(from, ranges, to, copy, by, !later);
    if (here == Durability::memory) {
        core_.apply_batch(to, copy);
        core_.engine_.apply(from, engine::RemoveMessages{from.id(), ranges});
        core_.free_released();
        return;
    }
    CommitGroup& group = core_.open_group(bytes);
    if (from.durable() && !storage::planted(storage::Fault::double_dead_letter)) {
        append_remove(group.buffer, from.id(), ranges);
    }
    group.commands.push_back({PendingCommand::Kind::remove, here, &from, nullptr,
                              static_cast<std::uint32_t>(group.ranges.size()),
                              static_cast<std::uint32_t>(ranges.size())});
    group.ranges.insert(group.ranges.end(), ranges.begin(), ranges.end());
    if (later) {
        core_.append_later(to, here, group);
    } else {
        core_.append_batch(to, group);
    }
    const auto need_of = [](Durability level) {
        return level == Durability::written ? Need::written : Need::durable;
    };
    core_.raise_need(group, need_of(here));
    if (to.durable()) {
        core_.raise_need(group, need_of(there));
    }
}

}  // namespace mqd::core
