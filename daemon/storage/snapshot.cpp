#include "daemon/storage/snapshot.hpp"

#include <algorithm>
#include <cerrno>

#include "daemon/storage/block_memory.hpp"
#include "mqd/assert.hpp"

namespace mqd::storage {

namespace {

std::string snapshot_name(const std::string& name) {
    return std::string(snapshot_prefix) + name;
}

Error shortened(const Disk& disk, const std::string& name) {
    return {ErrorCode::damaged, disk.path(name) + " became shorter while it was copied"};
}

}  // namespace

Result<std::size_t> Snapshot::take_some() {
    if (!cleared_) {
        if (auto removed = remove_left_snapshot(disk_); !removed) {
            return removed.error();
        }
        cleared_ = true;
    }
    std::size_t links = 0;
    while (!taken()) {
        const SnapshotSource& source = sources_[files_.size()];
        const bool links_it = source.how == SnapshotSource::How::link;
        if (!links_it && links > 0) {
            break;
        }
        if (auto done = links_it ? link(source) : copy_some(source); !done) {
            return done.error();
        }
        if (!links_it || ++links == names_max) {
            break;
        }
    }
    return files_.size();
}

Result<void> Snapshot::link(const SnapshotSource& source) {
    const std::string name = snapshot_name(source.name);
    if (auto linked = disk_.link(source.name, name); !linked) {
        return linked;
    }
    auto file = disk_.open(name, OpenMode::read_write);
    if (!file) {
        return file.error();
    }
    const auto bytes = (*file)->size();
    if (!bytes) {
        return bytes.error();
    }
    files_.push_back({source.name, *bytes});
    return {};
}

Result<void> Snapshot::copy_some(const SnapshotSource& source) {
    MQD_ASSERT(source.bytes > 0 && source.bytes % block_bytes == 0, source.bytes);
    if (!to_) {
        if (auto begun = begin_copy(source); !begun) {
            return begun;
        }
    }
    BlockMemory memory(static_cast<std::size_t>(std::min(copy_bytes_max, source.bytes - copied_)));
    const auto count = from_->read(copied_, memory.bytes());
    if (!count) {
        return count.error();
    }
    if (*count < memory.bytes().size()) {
        return shortened(disk_, source.name);
    }
    if (auto written = to_->write(copied_, memory.bytes()); !written) {
        return written;
    }
    copied_ += memory.bytes().size();
    if (copied_ == source.bytes) {
        from_.reset();
        to_.reset();
        files_.push_back({source.name, source.bytes});
    }
    return {};
}

Result<void> Snapshot::begin_copy(const SnapshotSource& source) {
    auto from = disk_.open(source.name, OpenMode::read_direct);
    if (!from) {
        return from.error();
    }
    auto to = disk_.open(snapshot_name(source.name), OpenMode::create);
    if (!to) {
        return to.error();
    }
    // A disk that is full says so before much is written.
    if (auto allocated = (*to)->allocate(source.bytes); !allocated) {
        return allocated;
    }
    from_ = std::move(*from);
    to_ = std::move(*to);
    copied_ = 0;
    return {};
}

Result<std::size_t> Snapshot::read(std::size_t index, std::uint64_t offset,
                                   std::span<std::byte> bytes) {
    const FileInfo& file = files_.at(index);
    MQD_ASSERT(removed_ == 0 && offset <= file.bytes, offset, file.bytes);
    if (!reading_ || reading_index_ != index) {
        auto opened = disk_.open(snapshot_name(file.name), OpenMode::read_direct);
        if (!opened) {
            return opened.error();
        }
        reading_ = std::move(*opened);
        reading_index_ = index;
    }
    const auto count = reading_->read(offset, bytes);
    if (!count) {
        return count.error();
    }
    const std::size_t wanted =
        static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), file.bytes - offset));
    if (*count < wanted) {
        return shortened(disk_, snapshot_name(file.name));
    }
    return wanted;
}

Result<bool> Snapshot::remove_some() {
    from_.reset();
    to_.reset();
    reading_.reset();
    for (std::size_t n = 0; n < names_max && removed_ < sources_.size(); ++n, ++removed_) {
        const auto removed = disk_.remove(snapshot_name(sources_[removed_].name));
        // It may never have been made: the taking failed before it.
        if (!removed && removed.error().os_errno != ENOENT) {
            return removed.error();
        }
    }
    return removed_ == sources_.size();
}

Result<void> remove_left_snapshot(Disk& disk) {
    const auto names = disk.list();
    if (!names) {
        return names.error();
    }
    for (const std::string& name : *names) {
        if (!name.starts_with(snapshot_prefix)) {
            continue;
        }
        if (auto removed = disk.remove(name); !removed) {
            return removed;
        }
    }
    return {};
}

}  // namespace mqd::storage
