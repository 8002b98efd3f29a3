#include "daemon/core/message_mover.hpp"

#include <cstring>

#include "daemon/core/core.hpp"
#include "daemon/core/record.hpp"
#include "daemon/storage/planted_fault.hpp"

namespace mqd::core {

namespace {

bool stays_behind(std::uint16_t attribute) {
    switch (static_cast<wire::AttributeId>(attribute)) {
        case wire::AttributeId::dead_letter:
        case wire::AttributeId::delay:
        case wire::AttributeId::due: return true;
        case wire::AttributeId::header: break;
    }
    return false;
}

}  // namespace

void MessageMover::copy_attributes(wire::Bytes attributes, std::vector<std::byte>& to) {
    wire::Writer writer(to);
    wire::AttributeReader reader(attributes);
    while (const auto attribute = reader.next()) {
        if (stays_behind(attribute->id)) {
            continue;
        }
        writer.number(static_cast<std::uint16_t>(attribute->id |
                                                 (attribute->critical ? wire::critical_bit : 0)));
        writer.string16(wire::as_text(attribute->value));
    }
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
                          engine::Queue& to, Block& copy) {
    MQD_ASSERT(ranges.size() <= remove_ranges_max && ranges.size() <= copy.count, ranges.size());
    const Durability there = to.definition().durability;
    const Durability here = from.durable() ? from.definition().durability : there;
    if (!to.durable()) {
        core_.engine_.apply(to, engine::AddMessages{to.id(), {copy.first, copy.count}});
        core_.engine_.announce_resident(to, copy);
        for (const engine::DelayMessages& run : core_.delays_) {
            core_.engine_.apply(run);
        }
    }
    if (here == Durability::memory) {
        core_.engine_.apply(from, engine::RemoveMessages{from.id(), ranges});
        core_.free_released();
        return;
    }
    CommitGroup& group =
        core_.open_group(2 * record_header_bytes + 8 + ranges.size() * 16 + messages_fixed_bytes +
                         copy.bytes + delay_record_bytes(core_.delays_.size()));
    if (from.durable() && !storage::planted(storage::Fault::double_dead_letter)) {
        append_remove(group.buffer, from.id(), ranges);
    }
    group.commands.push_back({PendingCommand::Kind::remove, here, &from, nullptr,
                              static_cast<std::uint32_t>(group.ranges.size()),
                              static_cast<std::uint32_t>(ranges.size())});
    group.ranges.insert(group.ranges.end(), ranges.begin(), ranges.end());
    if (to.durable()) {
        append_messages(group.buffer, RecordType::add_messages,
                        {to.id(),
                         {copy.first, copy.count},
                         copy.published,
                         copy.sender,
                         {copy.data(), copy.bytes}});
        group.commands.push_back({PendingCommand::Kind::add, there, &to, &copy, 0, 0});
        to.admitted(copy.bytes);
        core_.append_delays(to, group);
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
