// Random work, power failures and errors at random moments: what was told to be durable is there
// afterwards, and nothing that was not submitted.

#include <doctest/doctest.h>

#include "storage/journal_fixture.hpp"
#include "support/rounds.hpp"

namespace mqd::storage::test {
namespace {

std::uint64_t runs(std::uint64_t by_default) {
    return mqd::test::rounds("MQD_RUNS", by_default);
}

// A journal that is worked on at random; workers take their steps when the seed says.
class RandomWork : public JournalFixture {
  public:
    explicit RandomWork(std::uint64_t seed)
        : JournalFixture(seed),
          dice_(seed),
          schedule_(dice_.next(), {&commit_worker, &background}) {
        options.bytes_max = dice_.between(4, 12) * small_file_bytes;
    }

    // Until so many steps are done, or something failed.
    void work(std::uint64_t steps) {
        for (; steps > 0 && !failure; --steps) {
            if (dice_.percent(60)) {
                schedule_.step();
            } else if (!journal->busy()) {
                act();
            }
        }
    }
    void open_and_check() {
        open();
        check_opened();
    }
    void check_opened() {
        expect_replayed_up_to(durable.value());
        // Where the first group of all is there, no file was needed before it: a first file that
        // lost its groups to a power failure leaves its ordinal behind, and nothing else.
        if (!replayed.empty() && replayed.front().sequence != 1) {
            CHECK_MESSAGE(replayed.front().file <= emptied_ + 1,
                          "INVARIANT VIOLATED: a file that was needed is gone");
        }
        durable = written = journal->last();
        emptied_ =
            std::min(emptied_,
                     journal->oldest_file().value() == 0 ? 0 : journal->current_file().value() - 1);
    }
    Dice& dice() { return dice_; }

  private:
    void act() {
        if (dice_.one_in(8) && journal->durable() < journal->last()) {
            journal->sync();
            return;
        }
        // A third of the files is emptied early, the rest when there are many.
        const std::uint64_t oldest = emptied_ + 1;
        const std::uint64_t current = journal->current_file().value();
        if (oldest < current && (dice_.one_in(10) || current - oldest >= 3)) {
            journal->file_emptied(FileOrdinal(oldest));
            emptied_ = oldest;
        }
        const std::size_t bytes = dice_.percent(70) ? dice_.below(4000) : dice_.below(16'000);
        const bool seals = dice_.one_in(10);
        if (!prepare(group_file_bytes(seals ? 0 : bytes))) {
            return;
        }
        std::string body(seals ? 0 : bytes, static_cast<char>('a' + dice_.below(26)));
        for (std::size_t i = 0; i < body.size(); i += 100) {
            body[i] = static_cast<char>(dice_.next());
        }
        submit(body, dice_.percent(60), seals ? GroupKind::seal : GroupKind::records);
    }

    Dice dice_;
    SimSchedule schedule_;
    std::uint64_t emptied_ = 0;  // all files up to this ordinal
};

TEST_CASE("crash states: nothing durable is lost, whenever power fails") {
    const std::uint64_t first = Dice::new_seed();
    for (std::uint64_t seed = first; seed < first + runs(400); ++seed) {
        INFO("MQD_SEED=", seed);
        RandomWork store(seed);
        store.open_and_check();
        for (int life = 0; life < 6; ++life) {
            if (store.dice().one_in(2)) {
                store.disk.power_off_at(store.dice().between(1, 120));
            }
            store.work(store.dice().below(200));
            if (store.dice().one_in(3)) {
                // Killed first: the next process sees what is not on the disk yet, and builds on
                // it.
                store.end();
                if (store.try_open()) {
                    store.check_opened();
                    store.work(store.dice().below(100));
                }
            }
            store.crash(store.dice().next());
            // Now and then recovery is cut short too, more than once.
            while (store.dice().one_in(3)) {
                store.disk.power_off_at(store.dice().between(1, 10));
                static_cast<void>(store.try_open().has_value());
                store.crash(store.dice().next());
            }
            store.open_and_check();
        }
    }
}

TEST_CASE("crash states: nothing written is lost when the process is killed") {
    const std::uint64_t first = Dice::new_seed();
    for (std::uint64_t seed = first; seed < first + runs(100); ++seed) {
        INFO("MQD_SEED=", seed);
        RandomWork store(seed);
        store.open_and_check();
        for (int life = 0; life < 6; ++life) {
            store.work(store.dice().below(200));
            const Sequence last_written = store.written;
            store.end();
            store.open_and_check();
            CHECK(store.journal->last() >= last_written);
        }
    }
}

// A failed write or sync is told once and nothing is told after it; the restart shows what was
// durable, though the page cache may hold what the disk never took.
TEST_CASE("crash states: after a failed write or sync nothing more is confirmed") {
    using Call = SimDisk::Call;
    const std::uint64_t first = Dice::new_seed();
    for (const Call call : {Call::write, Call::sync}) {
        for (const bool sticky : {false, true}) {
            for (std::uint64_t nth = 1; nth <= mqd::test::io_errors(); ++nth) {
                const std::uint64_t seed = first + nth;
                INFO("MQD_SEED=", first, " nth=", nth, " sticky=", sticky);
                RandomWork store(seed);
                store.open_and_check();
                store.disk.fail(call, {nth, sticky});
                store.work(2000 + 40 * nth);
                REQUIRE(store.failure.has_value());
                CHECK(store.failure->code == ErrorCode::io_error);
                CHECK(store.journal->busy());
                const Sequence told = store.durable;
                const Sequence told_written = store.written;
                store.run_all();
                CHECK(store.durable == told);
                CHECK(store.written == told_written);
                store.end();
                store.disk.heal();
                if (seed % 3 == 0) {
                    store.disk.crash(seed);
                }
                store.open_and_check();
            }
        }
    }
}

TEST_CASE("crash states: a seed gives the same bytes each time") {
    const auto image_of = [](std::uint64_t seed) {
        RandomWork store(seed);
        store.open_and_check();
        store.work(500);
        store.crash(seed);
        store.open_and_check();
        store.work(500);
        return store.disk.image();
    };
    CHECK(image_of(5) == image_of(5));
    CHECK(image_of(5) != image_of(6));
}

}  // namespace
}  // namespace mqd::storage::test
