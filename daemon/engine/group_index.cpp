#include "daemon/engine/group_index.hpp"

#include <algorithm>

namespace mqd::engine {

namespace {

// Where it belongs: a multiplication by an odd number that nobody knows, twice, so that ids that
// were chosen for it are as good as any.
std::uint64_t mix(GroupId id, std::uint64_t salt) {
    constexpr std::uint64_t golden = 0x9E3779B97F4A7C15u;
    std::uint64_t hash = (id.value() + salt) * ((salt << 1) | 1);
    hash = (hash ^ (hash >> 32)) * ((salt ^ golden) | 1);
    return hash ^ (hash >> 32);
}

}  // namespace

std::size_t GroupIndex::place_of(GroupId id) const {
    return mix(id, salt_) & (table_.size() - 1);
}

GroupRef GroupIndex::find_or_add(GroupId id) {
    if ((groups_.size() - free_.size() + 1) * 2 > table_.size()) {
        grow();
    }
    const std::size_t mask = table_.size() - 1;
    std::size_t at = place_of(id);
    for (; table_[at] != 0; at = (at + 1) & mask) {
        if (groups_[table_[at] - 1].id == id) {
            return GroupRef(table_[at] - 1);
        }
    }
    std::uint32_t index = 0;
    if (free_.empty()) {
        index = static_cast<std::uint32_t>(groups_.size());
        groups_.emplace_back();
    } else {
        index = free_.back();
        free_.pop_back();
    }
    groups_[index].id = id;
    table_[at] = index + 1;
    return GroupRef(index);
}

void GroupIndex::remove(GroupRef group) {
    Group& gone = groups_[group.value()];
    MQD_ASSERT(gone.members == 0 && gone.taken == 0 && gone.strays == 0, gone.id);
    MQD_ASSERT(gone.first == no_member && !gone.resting, gone.id);
    const std::size_t mask = table_.size() - 1;
    std::size_t hole = place_of(gone.id);
    while (table_[hole] != group.value() + 1) {
        hole = (hole + 1) & mask;
    }
    // Who lies behind it and could not have its own place moves up, so that no look-up ends early.
    for (std::size_t at = (hole + 1) & mask; table_[at] != 0; at = (at + 1) & mask) {
        const std::size_t wanted = place_of(groups_[table_[at] - 1].id);
        if (((at - wanted) & mask) >= ((at - hole) & mask)) {
            table_[hole] = table_[at];
            hole = at;
        }
    }
    table_[hole] = 0;
    free_.push_back(group.value());
    if (free_.size() == groups_.size() && table_.size() > first_entries * 256) {
        std::vector<Group>().swap(groups_);
        std::vector<std::uint32_t>().swap(free_);
        std::vector<std::uint32_t>().swap(table_);
    }
}

void GroupIndex::grow() {
    std::vector<std::uint32_t> old(std::max(first_entries, table_.size() * 2));
    old.swap(table_);
    const std::size_t mask = table_.size() - 1;
    for (const std::uint32_t entry : old) {
        if (entry != 0) {
            std::size_t at = place_of(groups_[entry - 1].id);
            while (table_[at] != 0) {
                at = (at + 1) & mask;
            }
            table_[at] = entry;
        }
    }
}

}  // namespace mqd::engine
