#include "daemon/storage/checkpoint_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/storage/block_memory.hpp"
#include "daemon/storage/crc32c.hpp"
#include "mqd/assert.hpp"

namespace mqd::storage {

namespace {

constexpr std::uint64_t files = 2;
// Reserved for the checkpoints to come, so that they find room on a full disk too: twice the last
// one, what begin() asks for, and never less than this.
constexpr std::uint64_t reserved_bytes_min = 256 * 1024;
constexpr std::uint64_t reserved_factor = 2;

[[nodiscard]] std::uint64_t chunk_file_bytes(std::uint64_t body_bytes) {
    return (sizeof(ChunkHeader) + body_bytes + block_bytes - 1) / block_bytes * block_bytes;
}

void encode_chunk(ChunkHeader& header, std::span<std::byte> sealed) {
    header.body_crc = crc32c(sealed.subspan(sizeof header));
    header.crc = crc32c(std::as_bytes(std::span(&header, 1)).subspan(8));
    std::memcpy(sealed.data(), &header, sizeof header);
}

// Over the checksums of all chunks so far: two attempts at one checkpoint may agree in number,
// `from` and size, and the end of the one must not end the other.
[[nodiscard]] std::uint32_t chain_chunk(std::uint32_t chain, const ChunkHeader& header) {
    return crc32c(std::as_bytes(std::span(&header.crc, 1)), chain);
}

// The chunks of one file, read one by one; memory grows to the largest.
class ChunkReader {
  public:
    explicit ChunkReader(File& file) : file_(file), memory_(block_bytes) {}

    enum class Found { chunk, nothing, newer_version };
    // The next chunk, if it is whole.
    Result<Found> next() {
        auto count = file_.read(at_, memory_.bytes().first(block_bytes));
        if (!count) {
            return count.error();
        }
        if (*count < block_bytes) {
            return Found::nothing;
        }
        std::memcpy(&header_, memory_.bytes().data(), sizeof header_);
        if (header_.magic != ChunkHeader::magic_value ||
            header_.crc != crc32c(memory_.bytes().first(sizeof header_).subspan(8))) {
            return Found::nothing;
        }
        if (header_.version < 1 || header_.version > checkpoint_version) {
            return Found::newer_version;
        }
        const std::uint64_t bytes = chunk_file_bytes(header_.body_bytes);
        if (bytes > chunk_bytes_limit) {
            return Found::nothing;
        }
        if (memory_.bytes().size() < bytes) {
            memory_ = BlockMemory(bytes);
        }
        count = file_.read(at_, memory_.bytes().first(bytes));
        if (!count) {
            return count.error();
        }
        if (*count < bytes ||
            crc32c(memory_.bytes().first(bytes).subspan(sizeof header_)) != header_.body_crc) {
            return Found::nothing;
        }
        at_ += bytes;
        return Found::chunk;
    }
    [[nodiscard]] const ChunkHeader& header() const { return header_; }
    [[nodiscard]] std::span<const std::byte> body() const {
        return memory_.bytes().subspan(sizeof header_, header_.body_bytes);
    }
    [[nodiscard]] std::uint64_t at() const { return at_; }
    void skip_block() { at_ += block_bytes; }

  private:
    static constexpr std::uint64_t chunk_bytes_limit = 64 * 1024 * 1024;

    File& file_;
    BlockMemory memory_;
    ChunkHeader header_;
    std::uint64_t at_ = 0;
};

Error newer_version(Disk& disk, const std::string& name, std::uint32_t version) {
    return Error{ErrorCode::unsupported_version, disk.path(name) + ": a checkpoint of version " +
                                                     std::to_string(version) + "; this is " +
                                                     std::to_string(checkpoint_version)};
}

// Goes through a file; the checkpoint that it holds, number 0 if none is whole.
Result<Checkpoint> walk(Disk& disk, File& file, const std::string& name,
                        const std::function<Result<void>(std::span<const std::byte>)>* chunk) {
    ChunkReader reader(file);
    Checkpoint found;
    std::uint32_t chain = 0;
    for (std::uint32_t index = 0;; ++index) {
        const auto next = reader.next();
        if (!next) {
            return next.error();
        }
        if (*next == ChunkReader::Found::newer_version) {
            return newer_version(disk, name, reader.header().version);
        }
        const ChunkHeader& header = reader.header();
        if (index == 0) {
            found.number = header.number;
            found.from = Sequence(header.from);
        }
        if (*next == ChunkReader::Found::nothing || header.index != index ||
            header.number != found.number || header.from != found.from.value()) {
            return Checkpoint{};
        }
        if (header.kind == static_cast<std::uint32_t>(ChunkKind::end)) {
            if (header.chain != chain) {
                return Checkpoint{};
            }
            found.through = Sequence(header.through);
            found.bytes = reader.at();
            return found;
        }
        chain = chain_chunk(chain, header);
        if (chunk != nullptr) {
            if (auto taken = (*chunk)(reader.body()); !taken) {
                return taken.error();
            }
        }
    }
}

// The process that wrote it may have ended between the last write and the sync, or the sync of its
// name: what is read may not be durable yet, and files are recycled because it is there.
Result<void> make_durable(Disk& disk, const std::string& name) {
    auto file = disk.open(name, OpenMode::read_write);
    if (!file) {
        return file.error();
    }
    if (auto synced = (*file)->sync(); !synced) {
        return synced;
    }
    return disk.sync_directory();
}

}  // namespace

std::string checkpoint_file_name(std::uint64_t number) {
    return "checkpoint-" + std::to_string(1 + number % files);
}

Result<Checkpoint> look_at_checkpoint(Disk& disk, const std::string& name) {
    auto file = disk.open(name, OpenMode::read_direct);
    if (!file) {
        return file.error();
    }
    return walk(disk, **file, name, nullptr);
}

Result<std::vector<LooseChunk>> read_loose_chunks(Disk& disk, const std::string& name) {
    std::vector<LooseChunk> chunks;
    auto file = disk.open(name, OpenMode::read_direct);
    if (!file && file.error().os_errno == ENOENT) {
        return chunks;
    }
    const auto size = file ? (*file)->size() : file.error();
    if (!size) {
        return size.error();
    }
    ChunkReader reader(**file);
    while (reader.at() < *size) {
        const auto next = reader.next();
        if (!next) {
            return next.error();
        }
        if (*next == ChunkReader::Found::newer_version) {
            return newer_version(disk, name, reader.header().version);
        }
        if (*next == ChunkReader::Found::nothing) {
            reader.skip_block();
            continue;
        }
        if (!chunks.empty() && chunks.front().header.number < reader.header().number) {
            chunks.clear();
        }
        if (chunks.empty() || chunks.front().header.number == reader.header().number) {
            chunks.push_back({reader.header(), {reader.body().begin(), reader.body().end()}});
        }
    }
    return chunks;
}

Result<Checkpoint> read_checkpoint(
    Disk& disk, const std::function<Result<void>(std::span<const std::byte>)>& chunk,
    CheckpointUse use) {
    const auto names = disk.list();
    if (!names) {
        return names.error();
    }
    Checkpoint newest;
    std::string newest_name;
    for (std::uint64_t i = 0; i < files; ++i) {
        const std::string name = checkpoint_file_name(i);
        if (std::find(names->begin(), names->end(), name) == names->end()) {
            continue;
        }
        const auto found = look_at_checkpoint(disk, name);
        if (!found) {
            return found.error();
        }
        if (found->number > newest.number) {
            newest = *found;
            newest_name = name;
        }
    }
    if (newest.number == 0) {
        return newest;
    }
    if (use == CheckpointUse::go_on) {
        if (auto secured = make_durable(disk, newest_name); !secured) {
            return secured.error();
        }
    }
    auto file = disk.open(newest_name, OpenMode::read_direct);
    if (!file) {
        return file.error();
    }
    return walk(disk, **file, newest_name, &chunk);
}

// Touched by the worker only, but for its making.
struct CheckpointWriter::Writing {
    std::string name;
    std::uint64_t reserve = 0;
    std::unique_ptr<File> file;
    std::uint64_t at = 0;
    std::uint32_t chain = 0;
    Result<void> result;

    Result<void> open(Disk& disk) {
        auto names = disk.list();
        if (!names) {
            return names.error();
        }
        const bool created = std::find(names->begin(), names->end(), name) == names->end();
        auto opened = disk.open(name, created ? OpenMode::create : OpenMode::read_write);
        if (!opened) {
            return opened.error();
        }
        file = std::move(*opened);
        const auto size = file->size();
        if (!size) {
            return size.error();
        }
        if (*size < reserve) {
            // For want of room the file stays as it is, which may well be enough.
            auto reserved = file->allocate(reserve);
            if (!reserved && reserved.error().code != ErrorCode::no_space) {
                return reserved;
            }
        }
        return {};
    }
    Result<void> write(Disk& disk, GroupBuffer& chunk, ChunkHeader header) {
        if (!file) {
            if (auto opened = open(disk); !opened) {
                return opened;
            }
        }
        const bool end = header.kind == static_cast<std::uint32_t>(ChunkKind::end);
        header.chain = end ? chain : 0;
        const std::span<std::byte> sealed = chunk.seal();
        encode_chunk(header, sealed);
        if (auto written = file->write_for_sync(at, sealed); !written) {
            return written;
        }
        at += sealed.size();
        chain = chain_chunk(chain, header);
        if (!end) {
            return {};
        }
        if (auto synced = file->sync(); !synced) {
            return synced;
        }
        // Also where the file was there: it may be left from an attempt that ended before this.
        return disk.sync_directory();
    }
};

void CheckpointWriter::begin(Sequence from, std::uint64_t reserve) {
    MQD_ASSERT(!active_);
    active_ = true;
    error_.reset();
    index_ = 0;
    unwritten_ = 0;
    next_ = {last_.number + 1, from, {}, 0};
    writing_ = std::make_shared<Writing>();
    writing_->name = checkpoint_file_name(next_.number);
    writing_->reserve = std::max({reserved_bytes_min, last_.bytes * reserved_factor, reserve}) /
                        block_bytes * block_bytes;
}

void CheckpointWriter::add(GroupBuffer& body) {
    ChunkHeader header;
    header.kind = static_cast<std::uint32_t>(ChunkKind::state);
    post(body, header, {});
}

void CheckpointWriter::finish(Sequence through, std::function<void(const Result<void>&)> done) {
    ChunkHeader header;
    header.kind = static_cast<std::uint32_t>(ChunkKind::end);
    header.through = through.value();
    next_.through = through;
    GroupBuffer empty;
    post(empty, header, [this, done = std::move(done)] {
        active_ = false;
        const Result<void> result = writing_->result;
        if (result) {
            next_.bytes = writing_->at;
            last_ = next_;
        }
        writing_.reset();
        done(result);
    });
}

void CheckpointWriter::abandon() {
    MQD_ASSERT(active_ && unwritten_ == 0);
    active_ = false;
    writing_.reset();
}

void CheckpointWriter::post(GroupBuffer& body, ChunkHeader header, std::function<void()> done) {
    MQD_ASSERT(active_);
    header.number = next_.number;
    header.from = next_.from.value();
    header.index = index_++;
    header.body_bytes = static_cast<std::uint32_t>(body.body_bytes());
    auto chunk = std::make_shared<GroupBuffer>();
    chunk->swap(body);
    auto result = std::make_shared<Result<void>>();  // of this chunk: the next may be on its way
    ++unwritten_;
    worker_.post(
        [&disk = disk_, writing = writing_, chunk, header, result] {
            if (writing->result) {
                writing->result = writing->write(disk, *chunk, header);
            }
            *result = writing->result;
        },
        [this, alive = std::weak_ptr<bool>(alive_), result, done = std::move(done)] {
            if (alive.expired()) {
                return;
            }
            --unwritten_;
            if (!*result && !error_) {
                error_ = result->error();
            }
            if (done) {
                done();
            }
        });
}

}  // namespace mqd::storage
