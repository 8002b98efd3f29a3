#pragma once

// A journal over a simulated disk, with verbs. Bodies are text; what was confirmed as durable is
// kept beside the journal, so that a test can ask for it after a crash.

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/storage/journal.hpp"
#include "daemon/storage/journal_format.hpp"
#include "support/sanitized.hpp"
#include "support/sim_disk.hpp"
#include "support/sim_worker.hpp"

namespace mqd::storage::test {

using mqd::test::Dice;
using mqd::test::SimDisk;
using mqd::test::SimSchedule;
using mqd::test::SimWorker;
using mqd::test::slowness;
using mqd::test::stride;

struct Replayed {
    std::uint64_t sequence = 0;
    std::uint64_t file = 0;
    GroupKind kind{};
    std::string body;
    friend bool operator==(const Replayed&, const Replayed&) = default;
};

class JournalFixture : public JournalListener {
  public:
    static constexpr std::uint64_t small_file_bytes = 64 * 1024;

    explicit JournalFixture(std::uint64_t seed = 1) : disk(seed) {
        options.file_bytes = small_file_bytes;
        options.bytes_max = 16 * small_file_bytes;
        options.salt_seed = seed;
    }

    // --- life

    Result<void> try_open() {
        end();
        replayed.clear();
        failure.reset();
        auto opened = Journal::open(disk, commit_worker, background, options, *this,
                                    [this](const GroupView& group) -> Result<void> {
                                        replayed.push_back(replayed_of(group));
                                        return {};
                                    });
        if (!opened) {
            return opened.error();
        }
        journal = std::move(*opened);
        return {};
    }
    void open() {
        const Result<void> opened = try_open();
        REQUIRE_MESSAGE(opened.has_value(), "INVARIANT VIOLATED: a store does not open: ",
                        (opened ? "" : opened.error().text));
    }
    // An error with that code, whose text begins with the row's letter, and a disk left as it was.
    std::string expect_refused(ErrorCode code, char row) {
        const std::uint64_t changes = disk.changes();
        const SimDisk::Image before = disk.image();
        const Result<void> opened = try_open();
        REQUIRE_FALSE(opened.has_value());
        CHECK(opened.error().code == code);
        CHECK_MESSAGE(opened.error().text.substr(0, 2) == std::string{row} + ':',
                      opened.error().text);
        CHECK(disk.changes() == changes);
        CHECK(disk.image() == before);
        return opened.error().text;
    }
    // The process is gone, with all that it had posted.
    void end() {
        journal.reset();
        commit_worker.drop();
        background.drop();
        disk.kill();
    }
    void crash(std::uint64_t seed) {
        end();
        disk.crash(seed);
    }
    void restart() {
        end();
        open();
    }
    void run_all() {
        while (!commit_worker.idle() || !background.idle()) {
            commit_worker.run_all();
            background.run_all();
        }
    }

    // --- committing

    // Makes room for a group of that size if a new file is needed; false: it takes other work
    // first.
    bool prepare(std::size_t group_bytes) {
        if (!journal->needs_new_file(group_bytes)) {
            return true;
        }
        if (journal->durable() < journal->last()) {
            journal->sync();
            return false;
        }
        return journal->new_file_ready();
    }
    Journal::Submitted submit(std::string_view body, bool sync = true,
                              GroupKind kind = GroupKind::records) {
        return submit(body, sync ? Reach::written_then_durable : Reach::written, kind);
    }
    Journal::Submitted submit(std::string_view body, Reach reach,
                              GroupKind kind = GroupKind::records) {
        GroupBuffer group;
        group.append(std::as_bytes(std::span<const char>(body.data(), body.size())));
        return submit(group, reach, kind);
    }
    Journal::Submitted submit(GroupBuffer& group, Reach reach, GroupKind kind) {
        GroupBuffer state;
        const std::string text = state_text(journal->last().value());
        const bool begins_file = journal->needs_new_file(group.file_bytes()) ||
                                 (takes_better_files && journal->better_file_ready() &&
                                  journal->durable() == journal->last());
        const std::string body = text_of(group);
        state.append(std::as_bytes(std::span<const char>(text.data(), text.size())));
        ++wall_ns;
        const auto submitted = journal->submit(group, kind, {wall_ns * 2, wall_ns}, reach,
                                               begins_file ? &state : nullptr);
        CHECK(group.empty());
        bodies[submitted.sequence.value()] = body;
        return submitted;
    }
    // Submits, and runs everything until it is written, and synced if asked for.
    Sequence commit(std::string_view body, bool sync = true, GroupKind kind = GroupKind::records) {
        const std::size_t bytes = group_file_bytes(body.size());
        for (int i = 0; i < 100 && !prepare(bytes); ++i) {
            run_all();
        }
        const Sequence sequence = submit(body, sync, kind).sequence;
        run_all();
        return sequence;
    }
    Sequence seal() { return commit("", true, GroupKind::seal); }
    // Commits until that file is the current one.
    void commit_into_file(std::uint64_t ordinal, std::size_t body_bytes = 10'000) {
        for (int i = 0; i < 10'000 && journal->current_file().value() < ordinal; ++i) {
            commit(std::string(body_bytes, 'x'));
        }
        REQUIRE(journal->current_file() == FileOrdinal(ordinal));
    }

    // --- looking

    [[nodiscard]] static std::string state_text(std::uint64_t last) {
        return "state as of " + std::to_string(last);
    }
    [[nodiscard]] std::uint64_t last_replayed() const {
        return replayed.empty() ? 0 : replayed.back().sequence;
    }
    // What was replayed is what was submitted, without a hole, and reaches at least to `least`.
    void expect_replayed_up_to(std::uint64_t least) {
        CHECK_MESSAGE(journal->last().value() >= least,
                      "INVARIANT VIOLATED: confirmed groups are lost: ", journal->last().value(),
                      " < ", least);
        std::uint64_t before = 0;
        for (const Replayed& group : replayed) {
            CHECK(group.sequence > before);
            before = group.sequence;
            if (group.kind == GroupKind::state) {
                CHECK(&group == &replayed.front());
                CHECK(group.body == state_text(group.sequence - 1));
            } else {
                CHECK_MESSAGE(group.body == bodies[group.sequence],
                              "INVARIANT VIOLATED: another body than submitted: group ",
                              group.sequence);
            }
        }
    }
    // The file that is in use as number `ordinal`.
    [[nodiscard]] std::string file_of(std::uint64_t ordinal) const {
        for (const auto& [name, contents] : disk.image()) {
            if (contents.size() < block_bytes) {
                continue;
            }
            const auto found =
                decode_file_header(std::span<const std::byte>(contents).first(block_bytes));
            if (found.sign == FileHeaderSign::in_use && found.header.ordinal == ordinal) {
                return name;
            }
        }
        return "";
    }
    [[nodiscard]] FileHeader header_of(std::string_view name) const {
        return decode_file_header(
                   std::span<const std::byte>(disk.contents(name)).first(block_bytes))
            .header;
    }

    struct Place {
        std::uint64_t offset = 0;
        std::uint64_t bytes = 0;
        GroupHeader header;
    };
    // Where the groups of a file lie, by sequence.
    [[nodiscard]] std::map<std::uint64_t, Place> places(std::string_view name) const {
        std::map<std::uint64_t, Place> found;
        const std::span<const std::byte> contents = disk.contents(name);
        const FileHeader file = header_of(name);
        std::uint64_t at = block_bytes;
        while (at + block_bytes <= contents.size()) {
            const auto group = decode_group_header(contents.subspan(at), file, at);
            if (group.sign != GroupSign::valid) {
                break;
            }
            const std::uint64_t bytes = group_file_bytes(group.header.body_bytes);
            found[group.header.sequence] = {at, bytes, group.header};
            at += bytes;
        }
        return found;
    }

    // --- JournalListener
    void journal_written(Sequence sequence) override {
        CHECK(sequence >= written);
        written = sequence;
    }
    void journal_durable(Sequence sequence) override {
        CHECK(sequence <= written);
        CHECK(sequence >= durable);
        CHECK_FALSE(failure.has_value());
        durable = sequence;
    }
    void journal_failed(const Error& error) override {
        CHECK_FALSE(failure.has_value());
        failure = error;
    }
    void journal_room_changed() override { ++room_changes; }

    SimDisk disk;
    SimWorker commit_worker;
    SimWorker background;
    JournalOptions options;
    bool takes_better_files = false;
    std::unique_ptr<Journal> journal;
    std::vector<Replayed> replayed;
    std::map<std::uint64_t, std::string> bodies;  // by sequence, as submitted last
    Sequence written;
    Sequence durable;  // as told: what must never be lost
    std::optional<Error> failure;
    int room_changes = 0;
    std::int64_t wall_ns = 1'000'000;

  private:
    static Replayed replayed_of(const GroupView& group) {
        return {group.sequence.value(), group.file.value(), group.kind,
                std::string(reinterpret_cast<const char*>(group.body.data()), group.body.size())};
    }
    static std::string text_of(GroupBuffer& group) {
        const std::size_t bytes = group.body_bytes();
        const auto sealed = group.seal();
        return {reinterpret_cast<const char*>(sealed.data()) + GroupBuffer::header_bytes, bytes};
    }
};

}  // namespace mqd::storage::test
