#pragma once

// One page on its way into memory: read, checked and cut into blocks on the storage worker, taken
// over on the loop thread.

#include <cerrno>
#include <optional>
#include <vector>

#include "daemon/core/block.hpp"
#include "daemon/storage/segment_store.hpp"

namespace mqd::core {

struct ReadPage {
    ReadPage(QueueId its_queue, MessageRange its_range, const storage::PageAddress& its_address)
        : queue(its_queue), range(its_range), address(its_address) {}
    ~ReadPage() {
        for (Block* block : blocks) {
            block->drop_reference();
        }
    }
    ReadPage(const ReadPage&) = delete;
    ReadPage& operator=(const ReadPage&) = delete;

    // What is read: the device, past the page cache, or whatever is quicker.
    enum class From { anywhere, device };
    // On the worker. Afterwards there are blocks, or an error.
    void run(storage::Disk& disk, From from = From::anywhere);

    // Afterwards: it is damaged or not there, and not only unreadable now.
    [[nodiscard]] bool is_gone() const {
        return error && (error->code == ErrorCode::damaged || error->os_errno == ENOENT);
    }

    const QueueId queue;
    const MessageRange range;
    const storage::PageAddress address;
    bool to_carry = false;
    bool to_expire = false;
    std::vector<Block*> blocks;  // one reference each; in no engine, charged to nobody
    std::optional<Error> error;

  private:
    [[nodiscard]] bool cut(wire::Bytes body);
};

}  // namespace mqd::core
