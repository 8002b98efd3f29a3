#pragma once

// An engine whose messages belong to groups, for tests: a letter for each message, which is the
// name of its group.

#include <string_view>
#include <vector>

#include "engine/engine_fixture.hpp"

namespace mqd::engine::test {

using Numbers = std::vector<std::uint64_t>;

struct GroupFixture : EngineFixture {
    // A message for each letter, of the group of that name; '-': of none.
    MessageRange publish_groups(Queue& queue, std::string_view letters) {
        const AddMessages command =
            engine.admit_add(queue, static_cast<std::uint32_t>(letters.size()));
        engine.apply(queue, command, members_of(command.range.first, letters));
        announce(queue, command.range);
        return command.range;
    }
    static std::vector<GroupMember> members_of(MessageNumber first, std::string_view letters) {
        std::vector<GroupMember> members;
        for (std::size_t i = 0; i < letters.size(); ++i) {
            if (letters[i] != '-') {
                members.push_back({first.plus(i), GroupId(static_cast<std::uint64_t>(letters[i]))});
            }
        }
        return members;
    }
    // The numbers that were delivered.
    Numbers delivered(std::int64_t now_ms = 0) {
        Numbers numbers;
        for (const Delivery& delivery : dispatch(now_ms)) {
            for (auto n = delivery.range.first; n < delivery.range.end(); n = n.plus(1)) {
                numbers.push_back(n.value());
            }
        }
        return numbers;
    }
    void allow(Queue& queue, std::uint32_t in_flight) {
        QueueDefinition definition = queue.definition();
        definition.group_in_flight = in_flight;
        engine.apply(UpdateQueue{queue.id(), definition});
    }
    void set_rate(Queue& queue, Rate rate) {
        QueueDefinition definition = queue.definition();
        definition.group_rate = rate;
        engine.apply(UpdateQueue{queue.id(), definition});
    }
    void wake(std::int64_t now_ms, std::size_t at_most = 100) {
        engine.wake_due({at_ms(now_ms), WallTime()}, at_most);
    }
};

}  // namespace mqd::engine::test
