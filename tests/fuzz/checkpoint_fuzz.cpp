// A sound store whose checkpoint, and whose journal behind it, say what the input says, with right
// checksums: it opens or it is refused as damaged, and never aborts. If it opens, every queue can
// be consumed to its end, and it opens again.
//
// Input: edits of the records, each: operation, index, value (u16), length (u8), bytes.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daemon/core/record.hpp"
#include "daemon/core/session.hpp"
#include "daemon/storage/checkpoint_file.hpp"
#include "mqd/assert.hpp"
#include "mqd/wire/admin.hpp"
#include "mqd/wire/handle.hpp"
#include "support/sim_daemon.hpp"

// The fuzzers link no test library.
#include "support/sim_disk.cpp"    // NOLINT
#include "support/sim_worker.cpp"  // NOLINT

namespace {

using namespace mqd;
using Record = std::vector<std::byte>;  // with its head

core::CoreOptions small_options() {
    core::CoreOptions options;
    options.journal = {64 * 1024, 6 * 64 * 1024};
    options.queues_max = 8;
    options.backlog.memory_bytes = 6000;
    options.backlog.page_bytes = 800;
    options.backlog.flush_bytes = 2000;
    options.backlog.segment_bytes = 4000;
    options.backlog.own_segment_bytes = 2000;
    return options;
}

template <typename Frame>
void send(test::SimDaemon& daemon, core::Session& session, const Frame& frame,
          std::uint32_t handle) {
    std::vector<std::byte> bytes;
    wire::append_frame(bytes, frame, CorrelationId(1), HandleId(handle));
    daemon.begin_turn();
    session.receive(bytes);
    daemon.end_turn();
    daemon.settle();
}

std::unique_ptr<core::Session> connect(test::SimDaemon& daemon) {
    auto session = std::make_unique<core::Session>(daemon.core(), Identity{1, 2, 3}, nullptr);
    wire::Hello hello;
    hello.frame_body_bytes_max = 1 << 20;
    send(daemon, *session, hello, 0);
    return session;
}

// Queues of each durability, with messages in journal and segments, and a checkpoint.
struct Base {
    test::SimDisk::Image image;
    std::vector<Record> records;  // of the checkpoint
    storage::Checkpoint checkpoint;

    Base() {
        test::SimDisk disk;
        test::SimDaemon daemon(disk);
        MQD_ASSERT(daemon.start(small_options()).has_value());
        fill(daemon);
        daemon.end();
        disk.kill();
        const auto read = storage::read_checkpoint(disk, [&](wire::Bytes body) -> Result<void> {
            core::RecordReader reader(body);
            while (const auto record = reader.next()) {
                const std::byte* begin = record->body.data() - core::record_header_bytes;
                records.emplace_back(begin, record->body.data() + record->body.size());
            }
            return {};
        });
        MQD_ASSERT(read.has_value() && read->number > 0 && records.size() > 8, records.size());
        checkpoint = *read;
        image = disk.image();
        image.erase("checkpoint-1");
        image.erase("checkpoint-2");
    }

    static void fill(test::SimDaemon& daemon) {
        daemon.begin_turn();
        const std::pair<const char*, Durability> queues[] = {
            {"d", Durability::disk}, {"w", Durability::written}, {"m", Durability::memory}};
        for (const auto& [name, durability] : queues) {
            engine::QueueDefinition definition;
            definition.name = name;
            definition.durability = durability;
            daemon.core().declare_queue(definition);
        }
        daemon.end_turn();
        daemon.settle();
        const auto session = connect(daemon);
        std::uint32_t handle = 1;
        for (const char* name : {"d", "w"}) {
            wire::OpenProducer open;
            open.queue = name;
            send(daemon, *session, open, handle++);
        }
        const std::string body(100, 'x');
        for (std::uint64_t line = 1; line <= 60; ++line) {
            std::vector<std::byte> batch;
            wire::append_message(batch, {}, wire::as_bytes(body));
            wire::Publish publish;
            publish.first_line = LineNumber(line);
            publish.count = 1;
            publish.batch = batch;
            send(daemon, *session, publish, 1);
            send(daemon, *session, publish, 2);
        }
        daemon.settle_for(std::chrono::seconds(2));
    }
};

// One edit of the list, as the input says.
std::span<const std::uint8_t> edit(std::vector<Record>& records,
                                   std::span<const std::uint8_t> input) {
    const std::size_t index = records.empty() ? 0 : input[1] % records.size();
    const std::size_t value = input[2] | std::size_t{input[3]} << 8;
    const std::size_t length = std::min<std::size_t>(input[4], input.size() - 5);
    const auto bytes = std::as_bytes(input.subspan(5, length));
    const auto at = records.begin() + static_cast<std::ptrdiff_t>(index);
    switch (records.empty() ? 3 : input[0] % 6) {
        case 0:  // other bytes in a record
            for (std::size_t i = 0; i < bytes.size() && value + i < at->size(); ++i) {
                (*at)[value + i] = bytes[i];
            }
            break;
        case 1: records.erase(at); break;
        case 2: {  // the same once more, or elsewhere
            const Record copy = *at;
            records.insert(records.begin() + static_cast<std::ptrdiff_t>(value % records.size()),
                           copy);
            break;
        }
        case 3: {  // one of its own
            Record record(core::record_header_bytes);
            wire::store(record.data(), static_cast<std::uint32_t>(length));
            record[4] = static_cast<std::byte>(value % 16);
            record.insert(record.end(), bytes.begin(), bytes.end());
            records.push_back(record);
            break;
        }
        case 4: std::swap(*at, records[value % records.size()]); break;
        case 5: at->resize(std::min(at->size(), value % 64)); break;
    }
    return input.subspan(5 + length);
}

void append_all(storage::GroupBuffer& to, const std::vector<Record>& records) {
    for (const Record& record : records) {
        to.append(record);
    }
}

void write_checkpoint(test::SimDisk& disk, const Base& base, const std::vector<Record>& records) {
    test::SimWorker worker;
    storage::CheckpointWriter writer(disk, worker, {});
    writer.begin(base.checkpoint.from);
    storage::GroupBuffer body;
    append_all(body, records);
    writer.add(body);
    writer.finish(base.checkpoint.through,
                  [](const Result<void>& written) { MQD_ASSERT(written.has_value()); });
    worker.run_all();
}

struct Listener : storage::JournalListener {
    void journal_written(Sequence) override {}
    void journal_durable(Sequence) override {}
    void journal_failed(const Error&) override { MQD_ASSERT(false); }
    void journal_room_changed() override {}
};

// A group behind the last one.
void append_group(test::SimDisk& disk, const std::vector<Record>& records) {
    test::SimWorker commit;
    test::SimWorker background;
    Listener listener;
    auto opened =
        storage::Journal::open(disk, commit, background, small_options().journal, listener,
                               [](const storage::GroupView&) -> Result<void> { return {}; });
    MQD_ASSERT(opened.has_value());
    storage::GroupBuffer group;
    append_all(group, records);
    if (!(*opened)->needs_new_file(group.file_bytes())) {
        (*opened)->submit(group, storage::GroupKind::records, {1, 1}, storage::Reach::durable,
                          nullptr);
    }
    commit.run_all();
    opened->reset();
    commit.drop();
    background.drop();
    disk.kill();
}

void consume_all(test::SimDaemon& daemon) {
    std::vector<std::string> names;
    for (const auto& [name, queue] : daemon.core().engine().queues()) {
        names.push_back(name);
    }
    const auto session = connect(daemon);
    std::uint32_t handle = 1;
    for (const std::string& name : names) {
        send(daemon, *session, wire::OpenConsumer{name, 0, 1000, 1'000'000}, handle++);
    }
    daemon.settle_for(std::chrono::milliseconds(20));
}

void open_and_consume(test::SimDisk& disk) {
    for (int i = 0; i < 2; ++i) {
        test::SimDaemon daemon(disk);
        const auto started = daemon.start(small_options());
        if (!started) {
            MQD_ASSERT(i == 0, started.error().text.c_str());
            MQD_ASSERT(started.error().code == ErrorCode::damaged ||
                           started.error().code == ErrorCode::bad_config,
                       started.error().text.c_str());
            MQD_ASSERT(!started.error().text.empty());
            return;
        }
        daemon.settle();
        MQD_ASSERT(!daemon.core().failure());
        consume_all(daemon);
        daemon.end();
        disk.kill();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Base base;
    std::vector<Record> checkpoint = base.records;
    std::vector<Record> group;
    std::span<const std::uint8_t> input(data, size);
    for (int edits = 0; input.size() >= 5 && edits < 32; ++edits) {
        input = edit(input[0] >= 128 ? group : checkpoint, input);
    }
    test::SimDisk disk;
    disk.load(base.image);
    write_checkpoint(disk, base, checkpoint);
    if (!group.empty()) {
        append_group(disk, group);
    }
    open_and_consume(disk);
    return 0;
}
