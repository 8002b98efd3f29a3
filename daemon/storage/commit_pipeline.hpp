#pragma once

// One group on its way to the disk: the memory it is written from and the two pieces of work, write
// and sync, that the commit worker does to it. When the write has returned, the kernel has the
// group; when the sync has, the disk has it and everything before it. At most one group is on its
// way.
//
// Loop thread; the work itself runs on the commit worker and touches only the Flight.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "daemon/storage/disk.hpp"
#include "daemon/storage/group_buffer.hpp"
#include "daemon/storage/journal.hpp"
#include "daemon/storage/journal_format.hpp"
#include "daemon/storage/worker.hpp"

namespace mqd::storage {

class CommitPipeline {
  public:
    // Called from a `done` of the commit worker. After an error none of them is called again.
    struct Events {
        std::function<void()> written;
        std::function<void()> synced;
        std::function<void(const Error&)> failed;
    };

    // A group to be written; and, where it is the first but one of a file, what comes before it.
    struct Flight {
        std::shared_ptr<File> file;
        GroupBuffer group;
        GroupHeader header;
        bool begins_file = false;
        FileHeader file_header;
        GroupBuffer header_block;
        GroupBuffer state;
        GroupHeader state_header;
        Reach reach{};
        std::optional<Error> write_error;  // then there is no sync
        std::optional<Error> sync_error;
    };

    CommitPipeline(Worker& commit, Events events) : commit_(commit), events_(std::move(events)) {}

    [[nodiscard]] bool busy() const { return busy_; }
    // To be filled for the next write(). Precondition: !busy().
    [[nodiscard]] Flight& flight();
    // Writes flight(), and syncs it if its reach says so. Precondition: !busy().
    void write();
    // Syncs `file`. Precondition: !busy().
    void sync(const std::shared_ptr<File>& file);
    // Nothing is posted or told any more, and busy() for ever.
    void stop();

  private:
    void post_write();
    void post_sync();
    void write_ended();
    void sync_ended();
    void fail(const Error& error);

    Worker& commit_;
    const Events events_;
    std::shared_ptr<Flight> flight_ = std::make_shared<Flight>();
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // expired: do not call back
    bool tells_written_ = false;  // when the sync has ended, as nothing was told of the write
    bool told_synced_ = false;    // too early: only with a planted fault
    bool busy_ = false;
    bool stopped_ = false;
};

}  // namespace mqd::storage
