#pragma once

// A Disk in memory that does what disks do when power fails or they break, decided by seeds alone.
//
// What is written lies in three places: what this process would read back (the page cache), what
// the device has taken (its durable bytes and the writes that were not synced), and what is
// durable. A crash keeps, drops or spoils every sector of every unsynced write on its own, and
// applies them in any order; file names that no directory sync made durable come, go or stay on
// their own as well. A failed sync leaves the page cache believing what the disk never took. Reads
// in OpenMode::read_direct see the device, all others the page cache.
//
// Files opened before a crash or kill() answer EIO afterwards: their process is gone.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/storage/disk.hpp"
#include "support/dice.hpp"

namespace mqd::test {

class SimDisk : public storage::Disk {
  public:
    static constexpr std::size_t sector_bytes = 512;
    using Bytes = std::vector<std::byte>;
    using Image = std::map<std::string, Bytes>;

    enum class Call { open, write, read, sync, allocate, sync_directory, remove, list, link };

    explicit SimDisk(std::uint64_t seed = 1);
    ~SimDisk() override;

    Result<std::unique_ptr<storage::File>> open(std::string_view name,
                                                storage::OpenMode mode) override;
    Result<void> remove(std::string_view name) override;
    Result<void> link(std::string_view name, std::string_view new_name) override;
    Result<void> sync_directory() override;
    Result<std::vector<std::string>> list() override;
    Result<std::unique_ptr<storage::DirectoryLock>> lock() override;
    std::string path(std::string_view name) const override;

    // --- disasters

    // The odds for one sector of an unsynced write, in percent; the rest of them are spoiled.
    struct CrashOdds {
        unsigned keep = 45;
        unsigned drop = 45;
    };
    // Power fails: only what is durable is sure to stay.
    void crash(std::uint64_t seed);
    void crash(std::uint64_t seed, CrashOdds odds);
    // The process ends; the kernel and its page cache go on.
    void kill();
    // From the n-th changing call on (1: the next), everything answers EIO, until crash(). What the
    // n-th would have written is unsynced, as far as it came.
    void power_off_at(std::uint64_t changing_call) { power_off_at_ = changes_ + changing_call; }
    [[nodiscard]] bool is_off() const { return changes_ >= power_off_at_; }
    // Calls so far that change the disk: write, sync, allocate, open for creation, remove, link,
    // directory sync.
    [[nodiscard]] std::uint64_t changes() const { return changes_; }

    // The n-th such call from now on (1: the next) fails with EIO or `os_errno`; `sticky`: all
    // after it too.
    struct Failure {
        std::uint64_t nth = 1;
        bool sticky = false;
        int os_errno = 5;
    };
    void fail(Call call, Failure failure);
    void heal() { failures_.clear(); }
    // The sum of all file sizes beyond which allocate and write answer ENOSPC. A file that has
    // several names counts once.
    void set_capacity(std::uint64_t bytes) { capacity_ = bytes; }
    [[nodiscard]] std::uint64_t used() const;
    // For files whose names begin so, none can be made: ENOSPC. Empty: all can be.
    void refuse_creating(std::string_view prefix) { refused_prefix_ = prefix; }

    // --- looking and tampering; what is tampered with is durable and on all layers

    [[nodiscard]] bool exists(std::string_view name) const { return find(name) != nullptr; }
    // As the device has it.
    [[nodiscard]] const Bytes& contents(std::string_view name) const;
    [[nodiscard]] std::uint64_t unsynced_writes() const;
    void put(std::string_view name, Bytes contents);
    void overwrite(std::string_view name, std::uint64_t offset, std::span<const std::byte> bytes);
    void fill(std::string_view name, std::uint64_t offset, std::size_t bytes, std::byte value);
    void flip(std::string_view name, std::uint64_t bit);
    void truncate(std::string_view name, std::uint64_t bytes);
    void erase(std::string_view name);
    [[nodiscard]] Image image() const;  // as the device has it
    void load(const Image& image);      // in place of everything

  private:
    friend class SimFile;
    friend class SimLock;

    struct Write {
        std::uint64_t offset = 0;
        Bytes bytes;
    };
    struct Node {
        Bytes durable;
        Bytes device;
        std::vector<Write> unsynced;
        // Sectors of the page cache that the device lacks since a sync failed, by offset.
        std::map<std::uint64_t, Bytes> only_cached;
    };
    using NodePtr = std::shared_ptr<Node>;
    struct Naming {        // a directory change that is not durable
        std::string from;  // empty: created, or linked
        std::string to;    // empty: removed
        NodePtr node;
    };

    [[nodiscard]] NodePtr find(std::string_view name) const;
    [[nodiscard]] NodePtr expect(std::string_view name) const;
    Result<void> enter(Call call, std::string_view name);
    Result<void> change(Call call, std::string_view name);
    Error error(int os_errno, Call call, std::string_view name) const;
    void take_write(Node& node, std::uint64_t offset, std::span<const std::byte> bytes);
    Result<void> write(Node& node, std::string_view name, std::uint64_t offset,
                       std::span<const std::byte> bytes);
    Result<void> sync(Node& node, std::string_view name);
    Result<void> allocate(Node& node, std::string_view name, std::uint64_t bytes);
    std::size_t read(const Node& node, bool direct, std::uint64_t offset,
                     std::span<std::byte> bytes) const;
    void fail_sync(Node& node);
    static void store(Bytes& image, std::uint64_t offset, std::span<const std::byte> bytes);
    void crash_node(Node& node, Dice& dice, CrashOdds odds) const;
    void crash_names(Dice& dice);

    Dice dice_;
    std::map<std::string, NodePtr, std::less<>> names_;
    std::map<std::string, NodePtr, std::less<>> durable_names_;
    std::vector<Naming> namings_;
    std::map<Call, Failure> failures_;
    std::uint64_t capacity_ = UINT64_MAX;
    std::string refused_prefix_;
    std::uint64_t changes_ = 0;
    std::uint64_t power_off_at_ = UINT64_MAX;
    std::uint64_t generation_ = 0;  // of the process that has files open
    bool locked_ = false;
};

}  // namespace mqd::test
