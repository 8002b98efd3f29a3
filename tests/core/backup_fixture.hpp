#pragma once

// A core of narrow limits, clients that take backups of it, and what comes out of the copies.

#include <algorithm>
#include <set>
#include <string>

#include "core/core_fixture.hpp"
#include "daemon/core/backup.hpp"
#include "daemon/core/check_store.hpp"
#include "mqd/wire/backup.hpp"

namespace mqd::core::test {

using mqd::test::SimDisk;

// What was received of a backup.
struct Copy {
    wire::BackupReply reply;
    SimDisk::Image files;
    std::uint64_t parts = 0;
    bool whole = false;

    void take(const wire::BackupPart& part) {
        REQUIRE_FALSE(whole);
        SimDisk::Bytes& file = files[std::string(part.file)];
        CHECK(part.offset == file.size());
        file.insert(file.end(), part.bytes.begin(), part.bytes.end());
        ++parts;
        whole = part.end == wire::BackupEnd::backup;
        if (whole) {
            std::uint64_t bytes = 0;
            for (const auto& [name, contents] : files) {
                bytes += contents.size();
            }
            CHECK(files.size() == reply.files);
            CHECK(bytes == reply.bytes);
        }
    }
    [[nodiscard]] std::size_t count(std::string_view prefix) const {
        return static_cast<std::size_t>(
            std::count_if(files.begin(), files.end(),
                          [&](const auto& file) { return file.first.starts_with(prefix); }));
    }
};

struct BackupFixture : CoreFixture {
    BackupFixture() {
        options.journal = {64 * 1024, 16 * 64 * 1024};
        options.backlog.memory_bytes = 24'000;
        options.backlog.page_bytes = 3'000;
        options.backlog.flush_bytes = 6'000;
        options.backlog.segment_bytes = 12'000;
        options.backlog.own_segment_bytes = 8'000;
        options.backup_part_bytes_max = 64 * 1024;
    }

    // Messages from `line` on, each of 500 bytes, and more than the memory holds.
    void fill(WireClient& client, std::uint64_t line, std::uint64_t count) {
        for (; count > 0; --count, ++line) {
            client.publish(line, {std::to_string(line) + std::string(500, 'x')});
            daemon.settle();
            (void)client.take();
        }
    }
    // A queue with `count` such messages.
    WireClient& filled(std::uint64_t count = 300) {
        start();
        create("q", Durability::disk);
        WireClient& client = connect();
        (void)client.open_producer("q");
        fill(client, 1, count);
        return client;
    }
    Copy open_backup(WireClient& client) {
        client.send(wire::Backup{}, 0, 70);
        daemon.settle();
        Copy copy;
        copy.reply = client.next<wire::BackupReply>();
        CHECK(client.last_header().correlation == CorrelationId(70));
        return copy;
    }
    void pull(WireClient& client, Copy& copy) {
        while (!copy.whole) {
            client.send(wire::BackupNext{}, 0, 71);
            daemon.settle();
            copy.take(client.next<wire::BackupPart>());
            CHECK(client.last_header().correlation == CorrelationId(71));
        }
        daemon.settle();
    }
    [[nodiscard]] std::size_t left() const {
        const SimDisk::Image image = disk.image();
        return static_cast<std::size_t>(std::count_if(
            image.begin(), image.end(),
            [](const auto& file) { return file.first.starts_with(storage::snapshot_prefix); }));
    }
    // As STATUS says it.
    std::uint64_t memory_bytes() {
        WireClient& client = connect();
        client.send(wire::Status{}, 0, 1);
        const auto status = client.next<wire::StatusReply>();
        for (const auto& item : status.items) {
            if (item.name == "memory_bytes") {
                const std::uint64_t value = item.value;
                clients.pop_back();
                return value;
            }
        }
        FAIL("STATUS has no memory_bytes");
        return 0;
    }
    void expect_nothing_left() {
        daemon.settle();
        CHECK(left() == 0);
        CHECK_FALSE(daemon.core().backup().active());
    }
};

// The bodies of all that a daemon delivers that is started on the copy.
inline std::multiset<std::string> bodies_in(const Copy& copy, const CoreOptions& options,
                                            const std::string& queue) {
    CoreFixture restored;
    restored.options = options;
    restored.disk.load(copy.files);
    const auto report = check_store(restored.disk);
    REQUIRE_MESSAGE(report.has_value(), report.error().text);
    for (const StoreFinding& finding : report->findings) {
        FAIL_CHECK(to_text(finding.kind) << ": " << finding.file << ": " << finding.text);
    }
    restored.start();
    std::multiset<std::string> bodies;
    if (restored.daemon.core().engine().find(queue) == nullptr) {
        return bodies;
    }
    WireClient& client = restored.connect();
    (void)client.open_consumer(queue);
    restored.daemon.settle_for(std::chrono::milliseconds(100));
    for (const Received& frame : client.take()) {
        for (std::string& body : bodies_of(frame.as<wire::Deliver>())) {
            bodies.insert(std::move(body));
        }
    }
    CHECK(restored.daemon.core().take_complaints().empty());
    return bodies;
}

}  // namespace mqd::core::test
