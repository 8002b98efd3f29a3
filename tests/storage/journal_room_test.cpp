// Bookings, growth, full disks, and the proof of docs/storage.md, "Room": while every message that
// was booked may be carried and every end is journaled in a group of its own, the journal never
// runs out of files.

#include "daemon/storage/journal_room.hpp"

#include <algorithm>
#include <cerrno>
#include <list>

#include "storage/journal_fixture.hpp"

namespace mqd::storage::test {
namespace {

// What core does, with the least that matters: messages live in files, are carried and end.
class RoomFixture : public JournalFixture {
  public:
    static constexpr std::uint64_t price = 128;  // of carrying and ending a message
    static constexpr std::uint64_t carry_ratio = 16;

    struct Message {
        std::uint64_t bytes = 0;
        std::uint64_t file = 0;  // where it lives
        bool ending = false;
    };
    using Messages = std::list<Message>;

    std::optional<Error> publish(std::uint64_t bytes) {
        auto refused = journal->book(bytes + price);
        if (!refused) {
            messages.push_back({bytes, 0, false});
            group.push_back(std::prev(messages.end()));
            group_bytes += bytes + 32;
        }
        return refused;
    }
    void end_message(Messages::iterator message) {
        message->ending = true;
        endings.push_back(message);
        group_bytes += 16;
    }
    // Sends what was gathered, and what has to be carried with it, as one group; then it is
    // durable.
    void commit_group() {
        carry();
        const std::size_t file_bytes = group_file_bytes(group_bytes);
        for (int waits = 0; !prepare(file_bytes); ++waits) {
            REQUIRE_MESSAGE(waits < 3, "INVARIANT VIOLATED: the journal is stuck; files=",
                            journal->figures().files, " messages=", messages.size());
            run_all();
        }
        const auto submitted = submit(std::string(group_bytes, 'r'));
        for (const Messages::iterator& message : group) {
            message->file = submitted.file.value();
        }
        group.clear();
        group_bytes = 0;
        run_all();
        for (const Messages::iterator& message : endings) {
            journal->unbook(message->bytes + price);
            messages.erase(message);
        }
        endings.clear();
        tell_emptied();
        run_all();
    }
    void tell_emptied() {
        std::uint64_t lowest = journal->current_file().value();
        for (const Message& message : messages) {
            lowest = std::min(lowest, message.file);
        }
        for (; told_emptied + 1 < lowest; ++told_emptied) {
            journal->file_emptied(FileOrdinal(told_emptied + 1));
        }
    }
    // Fills the journal until a booking is refused for good.
    void fill(Dice& dice, std::uint64_t bytes_max = 12'000) {
        int refusals = 0;
        for (int i = 0; i < 100'000 && refusals < 20; ++i) {
            if (publish(dice.between(1, bytes_max))) {
                ++refusals;
                commit_group();
            } else if (dice.one_in(2) || group_bytes > 2000) {
                commit_group();
            }
        }
        REQUIRE(refusals == 20);
    }

    Messages messages;
    std::vector<Messages::iterator> group;
    std::vector<Messages::iterator> endings;
    std::size_t group_bytes = 0;
    std::uint64_t told_emptied = 0;
    std::uint64_t carried_bytes = 0;

  private:
    // While a file is to be carried, everything else in a group is a small part of it.
    void carry() {
        const auto file = journal->file_to_carry();
        if (!file) {
            return;
        }
        const std::size_t max = journal->group_bytes_max() - GroupBuffer::header_bytes;
        const std::size_t wanted = std::max<std::size_t>(group_bytes * carry_ratio, 8 * 1024);
        std::size_t carried = 0;
        for (auto message = messages.begin(); message != messages.end(); ++message) {
            if (message->file != file->value() || message->ending) {
                continue;
            }
            const std::size_t bytes = message->bytes + 32;
            if (carried >= wanted || group_bytes + bytes > max) {
                break;
            }
            group.push_back(message);
            group_bytes += bytes;
            carried += bytes;
        }
        carried_bytes += carried;
    }
};

TEST_CASE("journal room: what may be booked grows with the files") {
    JournalRoom room;
    room.file_bytes = 64;
    room.bytes_max = 64 * 64;
    std::uint64_t before = 0;
    for (std::uint64_t files = 1; files <= 64; ++files) {
        room.bytes = files * room.file_bytes;
        CHECK(room.booked_max() >= before);
        CHECK(room.booked_max() <= room.bytes / 2);
        CHECK(room.may_grow() == (files < 64));
        before = room.booked_max();
        // When carrying begins, the full files are twice what lives in them.
        if (files >= 2) {
            CHECK(2 * room.booked_max() <= (files - room.kept_files() - 1) * room.file_bytes);
        }
    }
    room.bytes = 2 * room.file_bytes;
    CHECK(room.booked_max() == room.file_bytes / 2);
}

TEST_CASE_FIXTURE(RoomFixture, "journal room: it grows with its bookings, up to bytes_max") {
    open();
    run_all();
    CHECK(journal->figures().files == 2);
    Dice dice(1);
    fill(dice);
    CHECK(journal->figures().files == 16);
    CHECK(disk.used() == options.bytes_max);
    const auto refused = journal->book(5 * 1024 * 1024);
    REQUIRE(refused.has_value());
    CHECK(refused->code == ErrorCode::journal_full);
    CHECK(refused->limit == journal->figures().booked_bytes_max);
    CHECK(refused->retry_after_ms > 0);
    CHECK(room_changes > 0);
}

TEST_CASE_FIXTURE(RoomFixture, "journal room: at the bound it books, one byte above it does not") {
    options.bytes_max = 4 * small_file_bytes;
    open();
    static_cast<void>(journal->book(options.bytes_max));
    run_all();
    const std::uint64_t max = journal->figures().booked_bytes_max;
    const auto above = journal->book(max + 1);
    REQUIRE(above.has_value());
    CHECK(above->code == ErrorCode::journal_full);
    CHECK_FALSE(journal->book(max).has_value());
    CHECK(journal->book(1).has_value());
    journal->unbook(1);
    CHECK_FALSE(journal->book(1).has_value());
    CHECK(journal->figures().booked_bytes == max);
}

TEST_CASE_FIXTURE(RoomFixture, "journal room: a booking too big for now makes it grow") {
    open();
    run_all();
    CHECK(journal->book(3 * small_file_bytes).has_value());
    run_all();
    CHECK_FALSE(journal->book(3 * small_file_bytes).has_value());
}

TEST_CASE_FIXTURE(RoomFixture, "journal room: it shrinks again when nothing is left in it") {
    open();
    Dice dice(1);
    fill(dice);
    while (!messages.empty()) {
        end_message(messages.begin());
        commit_group();
    }
    for (int i = 0; i < 1000; ++i) {
        commit_group();
    }
    CHECK(journal->figures().files <= 4);
    CHECK(disk.used() <= 4 * small_file_bytes);
}

// Fills a journal of every size and ends what lives in it, in one order after the other.
void end_all_at_every_size(std::uint64_t seed) {
    enum class Order { first_in, last_in, any, all_but_some };
    for (std::uint64_t files = 2; files <= 20; ++files) {
        for (const Order order :
             {Order::first_in, Order::last_in, Order::any, Order::all_but_some}) {
            CAPTURE(files);
            CAPTURE(static_cast<int>(order));
            RoomFixture store;
            Dice dice(seed + files);
            store.options.bytes_max = files * JournalFixture::small_file_bytes;
            store.open();
            for (int round = 0; round < (mqd::test::sanitized ? 1 : 3); ++round) {
                store.fill(dice, dice.one_in(2) ? 12'000 : 500);
                const std::uint64_t kept =
                    order == Order::all_but_some ? store.messages.size() / 4 : 0;
                const bool publishes = dice.one_in(2);
                while (store.messages.size() > kept && store.endings.empty()) {
                    auto message = store.messages.begin();
                    if (order == Order::last_in) {
                        message = std::prev(store.messages.end());
                    } else if (order != Order::first_in) {
                        std::advance(message, dice.below(std::min<std::uint64_t>(
                                                  store.messages.size(), 64)));
                    }
                    store.end_message(message);
                    store.commit_group();
                    if (publishes && dice.one_in(3)) {
                        static_cast<void>(store.publish(dice.between(1, 3000)).has_value());
                    }
                    if (publishes && dice.one_in(200)) {
                        break;
                    }
                }
            }
            store.restart();
        }
    }
}

TEST_CASE(
    "journal room: acks go on for ever at any size, whatever lives and in which order it ends") {
    const std::uint64_t seed = Dice::new_seed();
    INFO("MQD_SEED=", seed);
    end_all_at_every_size(seed);
}

// With one spare kept for 10 or 11 files, what the ends of files lose to groups that do not fit was
// more than was kept.
TEST_CASE("journal room: what the ends of files lose is kept, too") {
    end_all_at_every_size(143000429);
    end_all_at_every_size(1568053363);
}

TEST_CASE("journal room: on a full disk too, however many files it found room for") {
    const std::uint64_t seed = Dice::new_seed();
    INFO("MQD_SEED=", seed);
    for (std::uint64_t files = 2; files <= 12; ++files) {
        CAPTURE(files);
        RoomFixture store;
        Dice dice(seed + files);
        store.options.bytes_max = 64 * JournalFixture::small_file_bytes;
        store.disk.set_capacity(files * JournalFixture::small_file_bytes + 1000);
        store.open();
        store.fill(dice, 4000);
        CHECK(store.journal->disk_full());
        CHECK(store.journal->figures().files == files);
        const auto refused = store.journal->book(1'000'000);
        REQUIRE(refused.has_value());
        CHECK(refused->code == ErrorCode::no_space);
        CHECK(refused->retry_after_ms > 0);
        CHECK(refused->text.find("journal-") != std::string::npos);
        for (int i = 0; i < 3000 && !store.messages.empty(); ++i) {
            auto message = store.messages.begin();
            std::advance(message, dice.below(std::min<std::uint64_t>(store.messages.size(), 32)));
            store.end_message(message);
            store.commit_group();
            if (dice.one_in(2)) {
                static_cast<void>(store.publish(dice.between(1, 4000)).has_value());
            }
        }
        CHECK_FALSE(store.failure.has_value());
    }
}

TEST_CASE_FIXTURE(RoomFixture, "journal room: it goes on growing when space comes back") {
    disk.set_capacity(3 * small_file_bytes);
    open();
    Dice dice(1);
    fill(dice);
    REQUIRE(journal->disk_full());
    journal->retry_growth();
    run_all();
    CHECK(journal->disk_full());  // still
    const int before = room_changes;
    disk.set_capacity(UINT64_MAX);
    CHECK(journal->book(small_file_bytes).has_value());
    journal->retry_growth();
    run_all();
    CHECK_FALSE(journal->disk_full());
    CHECK(room_changes > before);
    CHECK(journal->figures().files > 3);
    CHECK_FALSE(journal->book(small_file_bytes).has_value());
}

TEST_CASE_FIXTURE(RoomFixture, "journal room: a disk that is full from the start is said at once") {
    disk.set_capacity(100);
    const Result<void> opened = try_open();
    REQUIRE_FALSE(opened.has_value());
    CHECK(opened.error().code == ErrorCode::no_space);
    disk.set_capacity(UINT64_MAX);
    open();
}

TEST_CASE_FIXTURE(RoomFixture, "journal room: a lack of descriptors hinders growth, nothing else") {
    open();
    run_all();
    disk.fail(SimDisk::Call::open, {1, true, EMFILE});
    Dice dice(1);
    fill(dice);
    CHECK(journal->disk_full());
    CHECK_FALSE(failure.has_value());
    disk.heal();
    journal->retry_growth();
    run_all();
    CHECK_FALSE(journal->disk_full());
    CHECK(journal->figures().files > 2);
}

TEST_CASE_FIXTURE(RoomFixture, "journal room: what a failed growth left does not hinder the next") {
    open();
    run_all();
    disk.fail(SimDisk::Call::sync_directory, {1, true, EIO});
    Dice dice(1);
    fill(dice);
    REQUIRE(journal->disk_full());
    REQUIRE_FALSE(failure.has_value());
    REQUIRE(disk.exists("journal-0003"));
    disk.heal();
    journal->retry_growth();
    run_all();
    CHECK_FALSE(journal->disk_full());
    CHECK(journal->figures().files > 2);
}

TEST_CASE_FIXTURE(RoomFixture,
                  "journal room: nothing is carried while the journal may still grow") {
    open();
    Dice dice(1);
    while (journal->figures().files < 12) {
        CHECK_FALSE(journal->file_to_carry().has_value());
        if (publish(dice.between(1, 12'000))) {
            run_all();
        }
        commit_group();
    }
    CHECK(carried_bytes == 0);
}

TEST_CASE_FIXTURE(RoomFixture, "journal room: what recovery found is booked without being asked") {
    open();
    run_all();
    const std::uint64_t max = journal->figures().booked_bytes_max;
    journal->book_recovered(10 * max);
    CHECK(journal->figures().booked_bytes == 10 * max);
    CHECK(journal->book(1).has_value());
    run_all();
    CHECK(journal->figures().files > 2);
}

}  // namespace
}  // namespace mqd::storage::test
