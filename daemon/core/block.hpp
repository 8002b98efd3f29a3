#pragma once

// The bytes of one encoded batch in memory, with what the daemon stamped on it. One allocation:
// this header, the end offsets, the batch. Referenced by the engine (while a message of it lives)
// and by the output queues that are sending from it; freed with the last reference. Loop thread
// only.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "daemon/engine/extent.hpp"
#include "daemon/storage/journal.hpp"
#include "mqd/types.hpp"
#include "mqd/wire/bytes.hpp"

namespace mqd::core {

struct MessagesRecord;
struct Page;

inline constexpr std::uint64_t no_ttl = UINT64_MAX;

// When a message of a block expires, by its own TTL.
struct ExpiryPoint {
    engine::Time at;
    std::uint32_t index = 0;
};

struct Block : engine::Extent {
    QueueId queue;
    std::uint32_t bytes = 0;  // of the batch
    std::uint32_t references = 0;
    WallTime published;
    Identity sender;
    std::uint64_t booked_bytes = 0;  // in the journal; 0 on memory queues
    // Where its bytes are on the disk: in a journal file, or in a page of a segment; while it is on
    // its way there, in neither.
    storage::FileOrdinal file;  // 0: none
    Page* page = nullptr;
    Block* previous = nullptr;  // among those of the file, or of the page
    Block* next = nullptr;
    bool flushing = false;           // being written to a page
    bool grouped = false;            // read from a record: some belong to groups
    std::uint64_t ttl_min = no_ttl;  // of its messages' own TTLs, in milliseconds
    // When which of them expires, as a heap; made when the first one has. Its memory is charged.
    std::unique_ptr<std::vector<ExpiryPoint>> expiries;
    std::uint64_t* charged_to = nullptr;  // the sum that its memory is part of

    [[nodiscard]] bool has_own_ttls() const { return ttl_min != no_ttl; }
    [[nodiscard]] bool knows_taken() const { return taken != engine::Time::min(); }
    // Precondition: it is not announced.
    void take(engine::Time now) {
        taken = now;
        if (has_own_ttls()) {
            expires = now + std::chrono::milliseconds(ttl_min);
        }
    }

    [[nodiscard]] std::uint32_t* offsets() { return reinterpret_cast<std::uint32_t*>(this + 1); }
    [[nodiscard]] std::byte* data() { return reinterpret_cast<std::byte*>(offsets() + count); }
    [[nodiscard]] const std::byte* data() const { return const_cast<Block*>(this)->data(); }
    // The batch bytes of a run of its messages.
    [[nodiscard]] wire::Bytes slice(MessageRange range) const {
        return {data() + offset(range.first), bytes_of(range)};
    }
    [[nodiscard]] std::size_t bytes_of(MessageRange range) const {
        return static_cast<std::size_t>(Extent::bytes(range));
    }
    // Without `expiries`.
    [[nodiscard]] std::size_t memory_bytes() const { return memory_bytes(count, bytes); }
    [[nodiscard]] static std::size_t memory_bytes(std::uint32_t count, std::size_t bytes) {
        return sizeof(Block) + count * sizeof(std::uint32_t) + bytes;
    }

    // A block with room for the batch; the caller fills offsets() and data(). One reference.
    [[nodiscard]] static Block* create(std::uint32_t count, std::uint32_t bytes) {
        void* memory = std::malloc(memory_bytes(count, bytes));
        MQD_ASSERT(memory != nullptr, bytes);
        auto* block = new (memory) Block;
        block->count = count;
        block->live = count;
        block->bytes = bytes;
        block->references = 1;
        block->end_offsets = block->offsets();
        block->taken = engine::Time::min();
        return block;
    }
    // A block of a record, with its offsets; null if the batch is malformed. One reference.
    [[nodiscard]] static Block* from_record(const MessagesRecord& record);
    // Counts its memory in `sum`, which outlives it, until the last reference is dropped.
    void charge(std::uint64_t& sum) {
        MQD_ASSERT(charged_to == nullptr);
        charged_to = &sum;
        sum += memory_bytes();
    }
    // The same for the expiries, which it gets once. Precondition: its memory is charged.
    void set_expiries(std::unique_ptr<std::vector<ExpiryPoint>> points) {
        MQD_ASSERT(expiries == nullptr && charged_to != nullptr, first);
        expiries = std::move(points);
        *charged_to += expiry_bytes();
    }
    [[nodiscard]] std::size_t expiry_bytes() const {
        return expiries ? expiries->capacity() * sizeof(ExpiryPoint) : 0;
    }
    void add_reference() { ++references; }
    void drop_reference() {
        MQD_ASSERT(references > 0);
        if (--references == 0) {
            if (charged_to != nullptr) {
                *charged_to -= memory_bytes() + expiry_bytes();
            }
            this->~Block();
            std::free(this);
        }
    }
};

// Keeps a block as long as it lives.
class BlockReference {
  public:
    explicit BlockReference(Block& block) : block_(&block) { block.add_reference(); }
    BlockReference(BlockReference&& other) noexcept
        : block_(std::exchange(other.block_, nullptr)) {}
    BlockReference& operator=(BlockReference&& other) noexcept {
        std::swap(block_, other.block_);
        return *this;
    }
    ~BlockReference() {
        if (block_ != nullptr) {
            block_->drop_reference();
        }
    }
    [[nodiscard]] const Block* operator->() const { return block_; }

  private:
    Block* block_;
};

static_assert(sizeof(Block) % alignof(std::uint32_t) == 0);

}  // namespace mqd::core
