#pragma once

// Which blocks live in which journal file: those whose bytes stand there and nowhere else. A file
// in which none lives, and whose state a checkpoint holds, may be recycled. Loop thread only.

#include <cstdint>
#include <map>

#include "daemon/core/block.hpp"
#include "mqd/assert.hpp"

namespace mqd::core {

class JournalBlocks {
  public:
    void link(Block& block, storage::FileOrdinal file) {
        MQD_ASSERT(block.file.value() == 0 && block.page == nullptr, block.file);
        File& list = files_[file];
        block.file = file;
        block.next = nullptr;
        block.previous = list.last;
        (list.last != nullptr ? list.last->next : list.first) = &block;
        list.last = &block;
        memory_bytes_ += block.memory_bytes();
    }
    // True: nothing lives in its file any more.
    bool unlink(Block& block) {
        const auto at = files_.find(block.file);
        MQD_ASSERT(at != files_.end(), block.file);
        File& list = at->second;
        (block.previous != nullptr ? block.previous->next : list.first) = block.next;
        (block.next != nullptr ? block.next->previous : list.last) = block.previous;
        block.file = storage::FileOrdinal(0);
        block.previous = block.next = nullptr;
        memory_bytes_ -= block.memory_bytes();
        return erase_if_empty(at);
    }
    // The file is needed, though no block is linked to it: that they lie elsewhere is not yet said.
    void hold(storage::FileOrdinal file) { ++files_[file].held; }
    bool let_go(storage::FileOrdinal file) {
        const auto at = files_.find(file);
        MQD_ASSERT(at != files_.end() && at->second.held > 0, file);
        --at->second.held;
        return erase_if_empty(at);
    }

    [[nodiscard]] bool needed(storage::FileOrdinal file) const { return files_.contains(file); }
    // In the order in which they were linked; null: none is, though the file may be held.
    [[nodiscard]] Block* first(storage::FileOrdinal file) const {
        const auto at = files_.find(file);
        return at == files_.end() ? nullptr : at->second.first;
    }
    // Calls fn(file, first block) for the files that are needed, oldest first, until it says false.
    template <typename Fn>
    void for_each_file(Fn&& fn) const {
        for (const auto& [file, list] : files_) {
            if (!fn(file, list.first)) {
                return;
            }
        }
    }
    // Of all linked blocks.
    [[nodiscard]] std::uint64_t memory_bytes() const { return memory_bytes_; }

  private:
    struct File {
        Block* first = nullptr;
        Block* last = nullptr;
        std::uint64_t held = 0;
    };
    using Files = std::map<storage::FileOrdinal, File>;

    bool erase_if_empty(Files::iterator at) {
        if (at->second.first != nullptr || at->second.held > 0) {
            return false;
        }
        files_.erase(at);
        return true;
    }

    Files files_;
    std::uint64_t memory_bytes_ = 0;
};

}  // namespace mqd::core
