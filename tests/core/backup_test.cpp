// A backup of a core that goes on: what the copy has, and what becomes of it when anything fails.

#include "daemon/core/backup.hpp"

#include <cerrno>

#include "core/backup_fixture.hpp"
#include "mqd/wire/backup.hpp"

namespace mqd::core::test {
namespace {

using Call = SimDisk::Call;

TEST_CASE_FIXTURE(BackupFixture, "backup: the copy opens, and has what was there") {
    WireClient& client = filled();
    Copy copy = open_backup(client);
    CHECK(copy.reply.files == copy.files.size() + left());
    fill(client, 301, 100);  // comes too late
    pull(client, copy);
    CHECK(copy.count("segment-") > 2);
    CHECK(copy.count("checkpoint-") == 1);
    CHECK(bodies_in(copy, options, "q").size() == 300);
    expect_nothing_left();
    Copy again = open_backup(client);
    pull(client, again);
    CHECK(bodies_in(again, options, "q").size() == 400);
    CHECK(daemon.core().take_complaints().empty());
}

TEST_CASE_FIXTURE(BackupFixture,
                  "backup: of a store without a message, and of one without a group") {
    start();
    WireClient& client = connect();
    Copy empty = open_backup(client);
    pull(client, empty);
    CHECK(empty.count("journal-") == 1);
    CHECK(bodies_in(empty, options, "q").empty());
    create("q", Durability::disk);
    Copy copy = open_backup(client);
    pull(client, copy);
    CHECK(bodies_in(copy, options, "q").empty());
}

TEST_CASE_FIXTURE(BackupFixture, "backup: what is not linked or copied yet stays as it is") {
    options.backlog.page_bytes = 1'000;
    options.backlog.segment_bytes = 1'500;
    WireClient& client = filled();
    (void)client.open_consumer("q");
    daemon.settle();
    (void)client.take();
    CHECK(queue("q").leased() == 300);
    const std::size_t segments = daemon.core().backlog().told_segments().size();
    REQUIRE(segments > 3 * storage::Snapshot::names_max);
    WireClient& other = connect();
    other.send(wire::Backup{}, 0, 70);
    const auto turn = [&] {
        daemon.begin_turn();
        daemon.commit().run_all();
        daemon.end_turn();
    };
    const auto piece = [&] {
        if (daemon.background().has_work()) {
            daemon.background().run_work();
        }
        if (daemon.background().has_done()) {
            daemon.background().run_done();
        }
        turn();
    };
    piece();
    CHECK(daemon.core().backup().holds_segments());
    // All is acked now, and more published, so that segments would be removed, journal files
    // recycled and checkpoints written, between any two pieces of the snapshot.
    client.ack(1, 300, 5);
    turn();
    CHECK(client.await<wire::Settled>().settled == 300);
    const storage::FileOrdinal current = daemon.core().journal().current_file();
    while (other.silent()) {
        if (daemon.core().journal().current_file() - current < 8) {
            WireClient& producer = connect();  // with a credit of its own
            (void)producer.open_producer("q");
            for (std::uint64_t line = 1; line <= 20; ++line) {
                producer.publish(line, {std::string(2'500, 'x')});
                turn();
            }
        }
        piece();
    }
    CHECK(daemon.core().journal().current_file() - current >= 3);
    Copy copy;
    copy.reply = other.next<wire::BackupReply>();
    pull(other, copy);
    CHECK(copy.count("segment-") == segments);
    CHECK(bodies_in(copy, options, "q").size() == 300);
    daemon.settle_for(std::chrono::milliseconds(100));  // files are removed at a pace
    const auto there = std::count_if(copy.files.begin(), copy.files.end(), [&](const auto& file) {
        return file.first.starts_with("segment-") && disk.exists(file.first);
    });
    CHECK(there == 0);  // they are gone now
}

TEST_CASE_FIXTURE(BackupFixture, "backup: what was confirmed as written is in it") {
    start();
    create("w", Durability::written);
    WireClient& client = connect();
    (void)client.open_producer("w");
    client.publish(1, {"a"});
    daemon.settle();
    (void)client.await<wire::Confirm>();
    CHECK(daemon.core().journal().durable() < daemon.core().journal().last());
    Copy copy = open_backup(client);
    pull(client, copy);
    CHECK(bodies_in(copy, options, "w") == std::multiset<std::string>{"a"});
}

TEST_CASE_FIXTURE(BackupFixture, "backup: one at a time, and its parts are its own session's") {
    WireClient& client = filled(50);
    WireClient& other = connect();
    other.send(wire::BackupNext{}, 0, 5);
    other.expect_error(ErrorCode::no_backup, 5);
    Copy copy = open_backup(client);
    for (WireClient* one : {&client, &other}) {
        one->send(wire::Backup{}, 0, 6);
        one->expect_error(ErrorCode::backup_running, 6);
    }
    other.send(wire::BackupNext{}, 0, 7);
    other.expect_error(ErrorCode::no_backup, 7);
    pull(client, copy);
    client.send(wire::BackupNext{}, 0, 8);
    client.expect_error(ErrorCode::no_backup, 8);
    // The next may be asked for before the files of the last one are gone.
    client.send(wire::Backup{}, 0, 70);
    other.send(wire::Backup{}, 0, 9);
    other.expect_error(ErrorCode::backup_running, 9);
    daemon.settle();
    (void)client.next<wire::BackupReply>();
}

TEST_CASE_FIXTURE(BackupFixture, "backup: a part asked for before it is open is an error") {
    WireClient& client = filled(50);
    client.send(wire::Backup{}, 0, 70);
    client.send(wire::BackupNext{}, 0, 71);
    client.expect_error(ErrorCode::no_backup, 71);
    daemon.settle();
    (void)client.next<wire::BackupReply>();
}

TEST_CASE_FIXTURE(BackupFixture, "backup: eight parts may be asked for, and nine close") {
    WireClient& client = filled(50);
    (void)open_backup(client);
    for (std::size_t n = 0; n < wire::backup_next_max; ++n) {
        client.send(wire::BackupNext{}, 0, 71);
    }
    CHECK_FALSE(client.session().closing());
    client.send(wire::BackupNext{}, 0, 71);
    client.expect_error(ErrorCode::protocol_violation);
    expect_nothing_left();
}

TEST_CASE_FIXTURE(BackupFixture, "backup: a client that does not read gets no more read for it") {
    options.output_bytes_max = 256 * 1024;
    options.backup_idle_max = std::chrono::milliseconds(60'000);
    WireClient& client = filled();
    (void)open_backup(client);
    std::vector<std::byte> bytes;
    for (std::size_t n = 0; n < wire::backup_next_max; ++n) {
        wire::append_frame(bytes, wire::BackupNext{}, CorrelationId(71));
    }
    const std::uint64_t memory = memory_bytes();
    client.receive(bytes);
    daemon.settle();
    const std::uint64_t most = options.output_bytes_max / 2;
    CHECK(client.session().output().bytes() <= most);
    CHECK(client.session().output().bytes() > most / 2);
    CHECK(memory_bytes() > memory);  // counted like other output
    CHECK_FALSE(daemon.core().wants_turn());
    Copy copy;
    for (std::size_t parts = 0; parts < wire::backup_next_max; ++parts) {
        if (client.silent()) {
            CHECK(daemon.core().wants_turn());
            daemon.settle();
        }
        (void)client.next<wire::BackupPart>();
    }
    CHECK(memory_bytes() == memory);
}

TEST_CASE_FIXTURE(BackupFixture, "backup: a client may end at any moment of it") {
    (void)filled();
    for (int steps = 0; steps < 60; ++steps) {
        CAPTURE(steps);
        WireClient& client = connect();
        client.send(wire::Backup{}, 0, 70);
        for (int step = 0; step < steps; ++step) {
            daemon.begin_turn();
            if (daemon.background().has_work()) {
                daemon.background().run_work();
            } else if (daemon.background().has_done()) {
                daemon.background().run_done();
            }
            daemon.end_turn();
            client.send(wire::BackupNext{}, 0, 71);  // also where there is nothing to ask for
            (void)client.take();
        }
        client.end();
        clients.pop_back();
        expect_nothing_left();
    }
    WireClient& client = connect();
    (void)client.open_producer("q");
    const storage::FileOrdinal oldest = daemon.core().journal().oldest_file();
    fill(client, 1, 800);
    CHECK(daemon.core().journal().oldest_file() > oldest);  // nothing is held any more
}

TEST_CASE_FIXTURE(BackupFixture,
                  "backup: GOODBYE is answered behind the parts that were asked for") {
    WireClient& client = filled(50);
    client.send(wire::Backup{}, 0, 70);
    client.send(wire::Goodbye{}, 0, 71);
    daemon.settle();
    (void)client.next<wire::BackupReply>();
    (void)client.next<wire::GoodbyeReply>();
    expect_nothing_left();
}

TEST_CASE_FIXTURE(BackupFixture, "backup: a full disk ends it, and nothing else") {
    WireClient& client = filled();
    disk.set_capacity(disk.used() + 32 * 1024);
    client.send(wire::Backup{}, 0, 70);
    daemon.settle();
    const auto error = client.next<wire::ErrorFrame>();
    CHECK(error.code == ErrorCode::disk_full);
    CHECK(error.text.find("backup.") != std::string::npos);
    CHECK(daemon.core().take_complaints().size() == 1);
    expect_nothing_left();
    client.publish(301, {"a"});
    daemon.settle();
    (void)client.await<wire::Confirm>();
    disk.set_capacity(UINT64_MAX);
    Copy copy = open_backup(client);
    pull(client, copy);
    CHECK(bodies_in(copy, options, "q").size() == 301);
}

TEST_CASE_FIXTURE(BackupFixture,
                  "backup: whatever fails ends it with its cause, and nothing else") {
    WireClient& client = filled();
    for (const auto& [call, os_errno] : {std::pair(Call::link, EPERM),
                                         {Call::open, EMFILE},
                                         {Call::allocate, EIO},
                                         {Call::list, EIO},
                                         {Call::read, EIO},
                                         {Call::write, EIO}}) {
        CAPTURE(static_cast<int>(call));
        client.send(wire::Backup{}, 0, 70);
        disk.fail(call, {1, false, os_errno});
        daemon.settle();
        const auto error = client.next<wire::ErrorFrame>();
        CHECK(error.code == ErrorCode::backup_failed);
        CHECK(error.text.find(std::to_string(os_errno)) != std::string::npos);
        expect_nothing_left();
    }
    (void)open_backup(client);
    disk.fail(Call::read, {1, false, EIO});
    client.send(wire::BackupNext{}, 0, 71);
    daemon.settle();
    client.expect_error(ErrorCode::backup_failed, 71);
    expect_nothing_left();
    CHECK_FALSE(daemon.core().failure().has_value());
}

TEST_CASE_FIXTURE(BackupFixture, "backup: files that cannot be removed go with the next one") {
    WireClient& client = filled(50);
    Copy copy = open_backup(client);
    disk.fail(Call::remove, {1, false, EIO});
    pull(client, copy);
    CHECK(left() > 0);
    CHECK(daemon.core().take_complaints().size() == 1);
    Copy again = open_backup(client);
    pull(client, again);
    expect_nothing_left();
}

TEST_CASE_FIXTURE(BackupFixture,
                  "backup: a process that ends leaves files, and the next removes them") {
    for (const bool power : {false, true}) {
        CAPTURE(power);
        WireClient& client = power ? connect() : filled();
        (void)open_backup(client);
        CHECK(left() > 3);
        if (power) {
            lose_power(7);
        } else {
            kill();
        }
        const auto report = check_store(disk);
        REQUIRE(report.has_value());
        CHECK(report->sound());
        CHECK(report->live == 300);
        start();
        CHECK(left() == 0);
        CHECK(queue("q").live() == 300);
    }
}

TEST_CASE_FIXTURE(BackupFixture, "backup: one that nobody reads from is given up") {
    options.backup_idle_max = std::chrono::milliseconds(1'000);
    WireClient& client = filled(50);
    (void)open_backup(client);
    daemon.settle_for(std::chrono::milliseconds(900));
    client.send(wire::BackupNext{}, 0, 71);
    daemon.settle_for(std::chrono::milliseconds(900));
    (void)client.next<wire::BackupPart>();
    CHECK(left() > 0);
    daemon.settle_for(std::chrono::milliseconds(2'000));
    expect_nothing_left();
    client.send(wire::BackupNext{}, 0, 72);
    client.expect_error(ErrorCode::no_backup, 72);
    CHECK(daemon.core().take_complaints().size() == 1);
}

TEST_CASE_FIXTURE(BackupFixture, "backup: a stop ends it, and leaves no file of it") {
    for (const bool opened : {false, true}) {
        CAPTURE(opened);
        if (opened) {
            start();
        } else {
            (void)filled(50);
        }
        WireClient& client = connect();
        client.send(wire::Backup{}, 0, 70);
        if (opened) {
            daemon.settle();
            (void)client.next<wire::BackupReply>();
        }
        daemon.core().begin_stop();
        daemon.begin_turn();
        daemon.end_turn();
        if (!opened) {
            client.expect_error(ErrorCode::stopping, 70);
        }
        WireClient& late = connect();
        late.send(wire::Backup{}, 0, 73);
        (void)late.await<wire::ErrorFrame>();
        clients.clear();
        daemon.settle();
        REQUIRE(daemon.core().stopped());
        CHECK(left() == 0);
        daemon.end();
        disk.kill();
    }
}

}  // namespace
}  // namespace mqd::core::test
