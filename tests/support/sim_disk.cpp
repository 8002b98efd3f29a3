#include "support/sim_disk.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "mqd/assert.hpp"

namespace mqd::test {

using storage::File;
using storage::OpenMode;

class SimFile : public File {
  public:
    SimFile(SimDisk& disk, SimDisk::NodePtr node, std::string name, OpenMode mode)
        : disk_(disk),
          node_(std::move(node)),
          name_(std::move(name)),
          mode_(mode),
          generation_(disk.generation_) {}

    Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
        MQD_ASSERT(mode_ != OpenMode::read_direct);
        if (stale()) {
            return disk_.error(EIO, SimDisk::Call::write, name_);
        }
        return disk_.write(*node_, name_, offset, bytes);
    }

    Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> bytes) override {
        const bool direct = mode_ == OpenMode::read_direct;
        if (direct) {
            const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
            MQD_ASSERT(offset % storage::block_bytes == 0 && address % storage::block_bytes == 0);
            MQD_ASSERT(bytes.size() % storage::block_bytes == 0, bytes.size());
        }
        if (stale()) {
            return disk_.error(EIO, SimDisk::Call::read, name_);
        }
        if (auto entered = disk_.enter(SimDisk::Call::read, name_); !entered) {
            return entered.error();
        }
        return disk_.read(*node_, direct, offset, bytes);
    }

    Result<void> sync() override {
        if (stale()) {
            return disk_.error(EIO, SimDisk::Call::sync, name_);
        }
        return disk_.sync(*node_, name_);
    }

    Result<void> allocate(std::uint64_t bytes) override {
        if (stale()) {
            return disk_.error(EIO, SimDisk::Call::allocate, name_);
        }
        return disk_.allocate(*node_, name_, bytes);
    }

    Result<std::uint64_t> size() override { return std::uint64_t{node_->device.size()}; }

  private:
    [[nodiscard]] bool stale() const { return generation_ != disk_.generation_; }

    SimDisk& disk_;
    SimDisk::NodePtr node_;
    std::string name_;
    OpenMode mode_;
    std::uint64_t generation_;
};

class SimLock : public storage::DirectoryLock {
  public:
    explicit SimLock(SimDisk& disk) : disk_(disk), generation_(disk.generation_) {
        disk_.locked_ = true;
    }
    ~SimLock() override {
        if (generation_ == disk_.generation_) {
            disk_.locked_ = false;
        }
    }

  private:
    SimDisk& disk_;
    std::uint64_t generation_;
};

SimDisk::SimDisk(std::uint64_t seed) : dice_(seed) {}
SimDisk::~SimDisk() = default;

// --- the interface

Result<std::unique_ptr<File>> SimDisk::open(std::string_view name, OpenMode mode) {
    const bool creates = mode == OpenMode::create;
    if (auto entered = creates ? change(Call::open, name) : enter(Call::open, name); !entered) {
        return entered.error();
    }
    NodePtr node = find(name);
    if (creates != (node == nullptr)) {
        return error(creates ? EEXIST : ENOENT, Call::open, name);
    }
    if (creates && !refused_prefix_.empty() && name.starts_with(refused_prefix_)) {
        return error(ENOSPC, Call::open, name);
    }
    if (creates) {
        node = std::make_shared<Node>();
        names_[std::string(name)] = node;
        namings_.push_back({"", std::string(name), node});
    }
    return std::unique_ptr<File>(std::make_unique<SimFile>(*this, node, std::string(name), mode));
}

Result<void> SimDisk::remove(std::string_view name) {
    if (auto changed = change(Call::remove, name); !changed) {
        return changed;
    }
    const NodePtr node = find(name);
    if (!node) {
        return error(ENOENT, Call::remove, name);
    }
    namings_.push_back({std::string(name), "", node});
    names_.erase(std::string(name));
    return {};
}

Result<void> SimDisk::link(std::string_view name, std::string_view new_name) {
    if (auto changed = change(Call::link, new_name); !changed) {
        return changed;
    }
    const NodePtr node = find(name);
    if (!node || find(new_name)) {
        return error(node ? EEXIST : ENOENT, Call::link, new_name);
    }
    names_[std::string(new_name)] = node;
    namings_.push_back({"", std::string(new_name), node});
    return {};
}

Result<void> SimDisk::sync_directory() {
    if (auto changed = change(Call::sync_directory, ""); !changed) {
        return changed;
    }
    durable_names_ = names_;
    namings_.clear();
    return {};
}

Result<std::vector<std::string>> SimDisk::list() {
    if (auto entered = enter(Call::list, ""); !entered) {
        return entered.error();
    }
    std::vector<std::string> names;
    for (const auto& [name, node] : names_) {
        names.push_back(name);
    }
    return names;
}

Result<std::unique_ptr<storage::DirectoryLock>> SimDisk::lock() {
    if (locked_) {
        Error locked = error(EWOULDBLOCK, Call::open, "lock");
        locked.code = ErrorCode::locked;
        return locked;
    }
    return std::unique_ptr<storage::DirectoryLock>(std::make_unique<SimLock>(*this));
}

std::string SimDisk::path(std::string_view name) const {
    return "sim/" + std::string(name);
}

// --- calls

Error SimDisk::error(int os_errno, Call call, std::string_view name) const {
    constexpr const char* verbs[] = {"open",           "write",  "read", "sync", "allocate",
                                     "sync directory", "remove", "list", "link"};
    Error failed;
    failed.code =
        os_errno == ENOSPC || os_errno == EDQUOT ? ErrorCode::no_space : ErrorCode::io_error;
    failed.os_errno = os_errno;
    failed.text = std::string("cannot ") + verbs[static_cast<int>(call)] + ' ' + path(name) +
                  ": errno " + std::to_string(os_errno);
    return failed;
}

Result<void> SimDisk::enter(Call call, std::string_view name) {
    if (changes_ >= power_off_at_) {
        return error(EIO, call, name);
    }
    const auto failure = failures_.find(call);
    if (failure == failures_.end()) {
        return {};
    }
    if (failure->second.nth > 1) {
        --failure->second.nth;
        return {};
    }
    const int os_errno = failure->second.os_errno;
    if (!failure->second.sticky) {
        failures_.erase(failure);
    }
    return error(os_errno, call, name);
}

Result<void> SimDisk::change(Call call, std::string_view name) {
    if (changes_ < power_off_at_) {
        ++changes_;
    }
    return enter(call, name);
}

void SimDisk::fail(Call call, Failure failure) {
    failures_[call] = failure;
}

void SimDisk::store(Bytes& image, std::uint64_t offset, std::span<const std::byte> bytes) {
    if (image.size() < offset + bytes.size()) {
        image.resize(offset + bytes.size());
    }
    if (!bytes.empty()) {
        std::memcpy(image.data() + offset, bytes.data(), bytes.size());
    }
}

void SimDisk::take_write(Node& node, std::uint64_t offset, std::span<const std::byte> bytes) {
    store(node.device, offset, bytes);
    const auto first = node.only_cached.lower_bound(offset / sector_bytes * sector_bytes);
    node.only_cached.erase(first, node.only_cached.lower_bound(offset + bytes.size()));
    node.unsynced.push_back({offset, Bytes(bytes.begin(), bytes.end())});
}

Result<void> SimDisk::write(Node& node, std::string_view name, std::uint64_t offset,
                            std::span<const std::byte> bytes) {
    const bool was_on = changes_ < power_off_at_;
    const Result<void> changed = change(Call::write, name);
    const std::uint64_t end = offset + bytes.size();
    const std::uint64_t grows = end > node.device.size() ? end - node.device.size() : 0;
    if (changed && used() + grows > capacity_) {
        return error(ENOSPC, Call::write, name);
    }
    if (changed) {
        take_write(node, offset, bytes);
    } else if (was_on) {
        // Any part of it may have been taken.
        const std::size_t sectors = bytes.size() / sector_bytes;
        const std::size_t taken = static_cast<std::size_t>(dice_.below(sectors + 1));
        take_write(node, offset, bytes.first(taken * sector_bytes));
    }
    return changed;
}

Result<void> SimDisk::sync(Node& node, std::string_view name) {
    const bool was_on = changes_ < power_off_at_;
    const Result<void> changed = change(Call::sync, name);
    if (changed) {
        node.durable.resize(node.device.size());
        for (const Write& unsynced : node.unsynced) {
            store(node.durable, unsynced.offset,
                  {node.device.data() + unsynced.offset, unsynced.bytes.size()});
        }
        node.unsynced.clear();
    } else if (was_on && changes_ < power_off_at_) {
        fail_sync(node);
    }
    return changed;
}

// Each sector became durable, or is marked clean in the page cache and never written again.
void SimDisk::fail_sync(Node& node) {
    Bytes device = node.durable;
    device.resize(std::max(device.size(), node.device.size()));
    for (const Write& unsynced : node.unsynced) {
        for (std::size_t at = 0; at < unsynced.bytes.size(); at += sector_bytes) {
            const std::size_t count = std::min(sector_bytes, unsynced.bytes.size() - at);
            const std::span<const std::byte> sector(unsynced.bytes.data() + at, count);
            if (dice_.percent(50)) {
                store(device, unsynced.offset + at, sector);
                node.only_cached.erase(unsynced.offset + at);
            } else {
                node.only_cached[unsynced.offset + at] = Bytes(sector.begin(), sector.end());
            }
        }
    }
    node.unsynced.clear();
    node.durable = node.device = device;
}

Result<void> SimDisk::allocate(Node& node, std::string_view name, std::uint64_t bytes) {
    if (auto changed = change(Call::allocate, name); !changed) {
        return changed;
    }
    const std::uint64_t grows = bytes > node.device.size() ? bytes - node.device.size() : 0;
    if (used() + grows > capacity_) {
        return error(ENOSPC, Call::allocate, name);
    }
    node.device.resize(std::max<std::uint64_t>(bytes, node.device.size()));
    return {};
}

std::size_t SimDisk::read(const Node& node, bool direct, std::uint64_t offset,
                          std::span<std::byte> bytes) const {
    if (offset >= node.device.size()) {
        return 0;
    }
    const std::size_t count = static_cast<std::size_t>(
        std::min<std::uint64_t>(bytes.size(), node.device.size() - offset));
    std::memcpy(bytes.data(), node.device.data() + offset, count);
    if (!direct) {
        for (const auto& [at, sector] : node.only_cached) {
            const std::uint64_t begin = std::max(at, offset);
            const std::uint64_t end = std::min(at + sector.size(), offset + count);
            if (begin < end) {
                std::memcpy(bytes.data() + (begin - offset), sector.data() + (begin - at),
                            static_cast<std::size_t>(end - begin));
            }
        }
    }
    return count;
}

// --- disasters

void SimDisk::kill() {
    ++generation_;
    locked_ = false;
}

void SimDisk::crash(std::uint64_t seed) {
    // Most crashes keep or lose nearly everything; a mixture of all of it finds other faults.
    Dice dice(seed);
    constexpr CrashOdds odds[] = {{45, 45}, {100, 0}, {0, 100}, {90, 8}, {8, 90}, {34, 33}};
    crash(dice.next(), odds[dice.below(std::size(odds))]);
}

void SimDisk::crash(std::uint64_t seed, CrashOdds odds) {
    MQD_ASSERT(odds.keep + odds.drop <= 100, odds.keep, odds.drop);
    Dice dice(seed);
    kill();
    power_off_at_ = UINT64_MAX;
    std::vector<NodePtr> nodes;
    const auto add = [&](const NodePtr& node) {
        if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) {
            nodes.push_back(node);
        }
    };
    for (const auto& [name, node] : durable_names_) {
        add(node);
    }
    for (const Naming& naming : namings_) {
        add(naming.node);
    }
    for (const NodePtr& node : nodes) {
        crash_node(*node, dice, odds);
    }
    crash_names(dice);
}

void SimDisk::crash_node(Node& node, Dice& dice, CrashOdds odds) const {
    std::vector<Write>& writes = node.unsynced;
    for (std::size_t i = writes.size(); i > 1; --i) {
        std::swap(writes[i - 1], writes[static_cast<std::size_t>(dice.below(i))]);
    }
    if (node.durable.size() < node.device.size() && dice.percent(50)) {
        node.durable.resize(node.device.size());
    }
    for (const Write& unsynced : writes) {
        for (std::size_t at = 0; at < unsynced.bytes.size(); at += sector_bytes) {
            const std::size_t count = std::min(sector_bytes, unsynced.bytes.size() - at);
            const std::uint64_t fate = dice.below(100);
            if (fate < odds.keep) {
                store(node.durable, unsynced.offset + at, {unsynced.bytes.data() + at, count});
            } else if (fate >= odds.keep + odds.drop) {
                Bytes spoiled(count);
                for (std::byte& byte : spoiled) {
                    byte = static_cast<std::byte>(dice.next());
                }
                store(node.durable, unsynced.offset + at, spoiled);
            }
        }
    }
    writes.clear();
    node.only_cached.clear();
    node.device = node.durable;
}

void SimDisk::crash_names(Dice& dice) {
    for (const Naming& naming : namings_) {
        if (dice.percent(50)) {
            continue;
        }
        if (!naming.from.empty()) {
            const auto from = durable_names_.find(naming.from);
            if (from == durable_names_.end() || from->second != naming.node) {
                continue;
            }
            durable_names_.erase(from);
        }
        if (!naming.to.empty()) {
            durable_names_[naming.to] = naming.node;
        }
    }
    namings_.clear();
    names_ = durable_names_;
}

// --- looking and tampering

std::uint64_t SimDisk::used() const {
    std::set<const Node*> counted;
    std::uint64_t bytes = 0;
    for (const auto& [name, node] : names_) {
        bytes += counted.insert(node.get()).second ? node->device.size() : 0;
    }
    return bytes;
}

SimDisk::NodePtr SimDisk::find(std::string_view name) const {
    const auto found = names_.find(name);
    return found == names_.end() ? nullptr : found->second;
}

SimDisk::NodePtr SimDisk::expect(std::string_view name) const {
    NodePtr node = find(name);
    MQD_ASSERT(node != nullptr);
    return node;
}

const SimDisk::Bytes& SimDisk::contents(std::string_view name) const {
    return expect(name)->device;
}

std::uint64_t SimDisk::unsynced_writes() const {
    std::uint64_t count = 0;
    for (const auto& [name, node] : names_) {
        count += node->unsynced.size();
    }
    return count;
}

void SimDisk::put(std::string_view name, Bytes contents) {
    auto node = std::make_shared<Node>();
    node->durable = node->device = std::move(contents);
    names_[std::string(name)] = node;
    durable_names_[std::string(name)] = node;
}

void SimDisk::overwrite(std::string_view name, std::uint64_t offset,
                        std::span<const std::byte> bytes) {
    const NodePtr node = expect(name);
    MQD_ASSERT(offset + bytes.size() <= node->device.size(), offset);
    node->durable.resize(node->device.size());
    store(node->durable, offset, bytes);
    store(node->device, offset, bytes);
}

void SimDisk::fill(std::string_view name, std::uint64_t offset, std::size_t bytes,
                   std::byte value) {
    overwrite(name, offset, Bytes(bytes, value));
}

void SimDisk::flip(std::string_view name, std::uint64_t bit) {
    const std::byte flipped =
        expect(name)->device.at(bit / 8) ^ static_cast<std::byte>(1u << (bit % 8));
    overwrite(name, bit / 8, {&flipped, 1});
}

void SimDisk::truncate(std::string_view name, std::uint64_t bytes) {
    const NodePtr node = expect(name);
    node->durable.resize(bytes);
    node->device.resize(bytes);
}

void SimDisk::erase(std::string_view name) {
    names_.erase(std::string(name));
    durable_names_.erase(std::string(name));
}

SimDisk::Image SimDisk::image() const {
    Image image;
    for (const auto& [name, node] : names_) {
        image[name] = node->device;
    }
    return image;
}

void SimDisk::load(const Image& image) {
    kill();
    power_off_at_ = UINT64_MAX;
    names_.clear();
    durable_names_.clear();
    namings_.clear();
    failures_.clear();
    for (const auto& [name, contents] : image) {
        put(name, contents);
    }
}

}  // namespace mqd::test
