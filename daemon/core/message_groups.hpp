#pragma once

// Which group a message belongs to, by the key in its attributes. Live and in a replay alike, so
// that the journal need not say it again.

#include <vector>

#include "daemon/engine/group_table.hpp"
#include "mqd/wire/bytes.hpp"

namespace mqd::core {

// Appends the messages of a sound batch that belong to groups, numbered from `position` on. Dead
// letters keep the key and belong to none: nothing is to wait for what somebody has to look at
// first.
void append_members(wire::Bytes batch, std::uint64_t position,
                    std::vector<engine::GroupMember>& members);

}  // namespace mqd::core
