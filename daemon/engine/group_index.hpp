#pragma once

// The groups of one queue that have any messages, by their ids: an open hash table of 4 byte
// entries, half of them free at least, over an array of groups that stay where they are. 40 bytes a
// group there, and 8 to 16 here. Growing moves all of it, some 20 ns for each group.

#include <cstdint>
#include <vector>

#include "daemon/engine/member_chunks.hpp"
#include "daemon/engine/prefetch.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

// The hash of a group's key; 62 bits.
using GroupId = StrongNumber<struct GroupIdTag, std::uint64_t>;
inline constexpr unsigned group_id_bits = 62;

struct Group {
    GroupId id;
    MemberLink first = no_member;  // of those that wait in the list
    MemberLink last = no_member;
    std::uint32_t members = 0;  // 0: it is free, or rests
    std::uint32_t taken = 0;    // slots
    std::uint32_t strays = 0;
    bool resting = false;  // and so it stays, though nobody is in it
};
static_assert(sizeof(Group) == 40);

class GroupIndex {
  public:
    explicit GroupIndex(std::uint64_t salt) : salt_(salt) {}

    [[nodiscard]] Group& operator[](GroupRef group) { return groups_[group.value()]; }
    [[nodiscard]] const Group& operator[](GroupRef group) const { return groups_[group.value()]; }
    [[nodiscard]] std::size_t memory_bytes() const {
        return groups_.capacity() * sizeof(Group) + table_.capacity() * sizeof table_[0] +
               free_.capacity() * sizeof free_[0];
    }

    // Where find_or_add() of that id begins to look. To bring it near: the entry, and when that has
    // come, the group that it names.
    [[nodiscard]] std::size_t bring_entry_near(GroupId id) const {
        if (table_.empty()) {
            return 0;
        }
        const std::size_t at = place_of(id);
        prefetch(&table_[at]);
        return at;
    }
    // Null: none.
    [[nodiscard]] const Group* named_at(std::size_t entry) const {
        return entry < table_.size() && table_[entry] != 0 ? &groups_[table_[entry] - 1] : nullptr;
    }
    // Made, without members, if there is none.
    GroupRef find_or_add(GroupId id);
    // Precondition: nobody is in it, and it does not rest.
    void remove(GroupRef group);
    // All of them, and those that are free.
    [[nodiscard]] std::uint32_t slots() const { return static_cast<std::uint32_t>(groups_.size()); }

  private:
    static constexpr std::size_t first_entries = 16;

    [[nodiscard]] std::size_t place_of(GroupId id) const;
    void grow();

    std::uint64_t salt_;
    std::vector<Group> groups_;
    std::vector<std::uint32_t> free_;   // of groups_
    std::vector<std::uint32_t> table_;  // 0: free; or a group's place, plus one
};

}  // namespace mqd::engine
