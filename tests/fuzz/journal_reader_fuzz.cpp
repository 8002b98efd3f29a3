// Stores that no crash and no fault would leave: a sound store, edited as the input says (with
// checksums made right again where it says so), is opened. It opens or it is refused; if it opens,
// it opens again with the same last group, and takes another.
//
// Input: edits of 8 bytes each: operation, file, offset (u24, in bytes), length (u8), value (u16).

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "daemon/storage/crc32c.hpp"
#include "daemon/storage/journal.hpp"
#include "daemon/storage/journal_format.hpp"
#include "mqd/assert.hpp"
// The fuzzers link no test library.
#include "support/sim_disk.cpp"    // NOLINT
#include "support/sim_worker.cpp"  // NOLINT

namespace mqd::storage {
namespace {

using test::SimDisk;
using test::SimWorker;

struct Listener : JournalListener {
    void journal_written(Sequence) override {}
    void journal_durable(Sequence) override {}
    void journal_failed(const Error&) override { MQD_ASSERT(false); }
    void journal_room_changed() override {}
};

struct Store {
    explicit Store(SimDisk& to_open) : disk(to_open) {
        options.file_bytes = file_bytes_min;
        options.bytes_max = 6 * file_bytes_min;
    }
    // The error's code, or none.
    ErrorCode open() {
        journal.reset();
        commit.drop();
        background.drop();
        std::uint64_t before = 0;
        auto opened = Journal::open(disk, commit, background, options, listener,
                                    [&before](const GroupView& group) -> Result<void> {
                                        MQD_ASSERT(group.sequence.value() > before);
                                        before = group.sequence.value();
                                        return {};
                                    });
        if (!opened) {
            MQD_ASSERT(!opened.error().text.empty());
            return opened.error().code;
        }
        journal = std::move(*opened);
        return {};
    }
    void run_all() {
        while (!commit.idle() || !background.idle()) {
            commit.run_all();
            background.run_all();
        }
    }
    // False if there is no file to go on in.
    bool append(std::size_t bytes) {
        GroupBuffer group;
        GroupBuffer state;
        std::fill_n(group.extend(bytes), bytes, std::byte{'g'});
        const bool begins = journal->needs_new_file(group.file_bytes());
        if (begins && !journal->new_file_ready()) {
            return false;
        }
        journal->submit(group, GroupKind::records, {1, 1}, Reach::durable,
                        begins ? &state : nullptr);
        run_all();
        return true;
    }

    SimDisk& disk;
    SimWorker commit;
    SimWorker background;
    JournalOptions options;
    Listener listener;
    std::unique_ptr<Journal> journal;
};

// Three files in use and one spare.
SimDisk::Image make_sound() {
    SimDisk disk;
    Store store(disk);
    MQD_ASSERT(store.open() == ErrorCode{});
    while (store.journal->current_file().value() < 4) {
        MQD_ASSERT(store.append(12'000));
    }
    store.journal->file_emptied(FileOrdinal(1));
    MQD_ASSERT(store.append(100) && store.append(5000) && store.append(1));
    return disk.image();
}

// Makes the checksums in the block right: of a file header, or of a group.
void reseal(SimDisk::Bytes& bytes, std::uint64_t at) {
    if (at + block_bytes > bytes.size()) {
        return;
    }
    const std::span<std::byte> all(bytes);
    const auto put = [&](std::uint64_t to, std::uint32_t crc) {
        std::memcpy(bytes.data() + to, &crc, sizeof crc);
    };
    if (at == 0) {
        put(offsetof(FileHeader, crc), 0);
        put(offsetof(FileHeader, crc), crc32c(all.first(block_bytes)));
        return;
    }
    GroupHeader header;
    std::memcpy(&header, bytes.data() + at, sizeof header);
    const std::uint64_t end = at + group_file_bytes(header.body_bytes);
    if (end <= bytes.size()) {
        const auto body = all.subspan(at + sizeof header, end - at - sizeof header);
        put(at + offsetof(GroupHeader, body_crc), crc32c(body));
    }
    const auto checked =
        all.subspan(at + offsetof(GroupHeader, salt), sizeof header - offsetof(GroupHeader, salt));
    put(at + offsetof(GroupHeader, crc), crc32c(checked));
}

void edit(SimDisk::Image& image, std::span<const std::uint8_t> input) {
    auto chosen = image.begin();
    std::advance(chosen, input[1] % image.size());
    SimDisk::Bytes& bytes = chosen->second;
    if (bytes.size() < 64) {
        return;
    }
    const std::uint64_t offset =
        (input[2] | std::uint64_t{input[3]} << 8 | std::uint64_t{input[4]} << 16) % bytes.size();
    const std::uint64_t begin = offset / block_bytes * block_bytes;
    const std::uint64_t count = std::min<std::uint64_t>(input[5], bytes.size() - offset);
    const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(offset);
    switch (input[0] % 7) {
        case 0: *at = static_cast<std::byte>(input[6]); break;
        case 1: std::fill_n(at, count, static_cast<std::byte>(input[6])); break;
        case 2: {  // a block from elsewhere
            const std::uint64_t from = (input[6] * block_bytes) % bytes.size();
            const std::uint64_t room = bytes.size() - std::max(from, begin);
            const SimDisk::Bytes copy(
                bytes.begin() + static_cast<std::ptrdiff_t>(from),
                bytes.begin() +
                    static_cast<std::ptrdiff_t>(from + std::min(room, block_bytes + 0ul)));
            std::copy(copy.begin(), copy.end(), bytes.begin() + static_cast<std::ptrdiff_t>(begin));
            break;
        }
        case 3:  // a field of a header, and its checksum
            std::memcpy(
                bytes.data() + std::min<std::uint64_t>(begin + input[5] % 64, bytes.size() - 2),
                input.data() + 6, 2);
            reseal(bytes, begin);
            break;
        case 4: reseal(bytes, begin); break;
        case 5: bytes.resize(offset); break;
        case 6: image["journal-000" + std::to_string(input[6] % 9)] = SimDisk::Bytes(bytes); break;
    }
}

}  // namespace
}  // namespace mqd::storage

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace mqd::storage;
    static const SimDisk::Image sound = make_sound();
    SimDisk::Image image = sound;
    std::span<const std::uint8_t> input(data, size);
    for (int edits = 0; input.size() >= 8 && edits < 64; ++edits) {
        edit(image, input.first(8));
        input = input.subspan(8);
    }
    SimDisk disk;
    disk.load(image);
    Store store(disk);
    disk.set_capacity(1024 * 1024);
    if (const mqd::ErrorCode refused = store.open(); refused != mqd::ErrorCode{}) {
        MQD_ASSERT(refused == mqd::ErrorCode::no_space || disk.image() == image);
        return 0;
    }
    const mqd::Sequence last = store.journal->last();
    MQD_ASSERT(store.open() == mqd::ErrorCode{});
    MQD_ASSERT(store.journal->last() == last, store.journal->last(), last);
    store.run_all();
    if (last.value() < number_max - 10 && store.append(3000)) {
        const mqd::Sequence appended = store.journal->last();
        MQD_ASSERT(store.open() == mqd::ErrorCode{});
        MQD_ASSERT(store.journal->last() == appended, store.journal->last(), appended);
    }
    return 0;
}
