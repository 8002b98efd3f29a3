#include <algorithm>
#include <set>

#include "storage/segment_fixture.hpp"

namespace mqd::storage::test {
namespace {

// Pages are written in batches of a few files each; the power fails at each call of one of them.
class CrashRun : public StoreFixture {
  public:
    CrashRun() : StoreFixture(2048) {
        open();
        for (int i = 0; i < 4; ++i) {
            const std::vector<Known> batch = some_pages();
            REQUIRE(write(batch).has_value());
            sound.insert(sound.end(), batch.begin(), batch.end());
        }
        for (const std::size_t index :
             {0u, 1u}) {  // so that a batch has a file to remove beside it
            drop(sound[index]);
        }
        sound.erase(sound.begin(), sound.begin() + 2);
    }
    std::vector<Known> some_pages() {
        std::vector<Known> batch;
        for (std::uint32_t i = 0; i < 5; ++i) {
            const auto size = static_cast<std::size_t>(dice_.between(1, 900));
            const std::uint32_t group = static_cast<std::uint32_t>(dice_.below(3));
            batch.push_back(page(SegmentGroup(group), size, group + 1));
        }
        return batch;
    }
    std::vector<Known> sound;

  private:
    Dice dice_{5};
};

TEST_CASE("segment store: a crash at any call of a batch damages no page that was there") {
    std::uint64_t calls = 0;
    bool crashed = true;
    for (std::uint64_t call = 1; crashed; ++call) {
        for (std::uint64_t seed = 1; seed <= std::max<std::uint64_t>(4, 24 / slowness); ++seed) {
            CAPTURE(call);
            CAPTURE(seed);
            CrashRun run;
            const std::vector<Known> batch = run.some_pages();
            run.disk.power_off_at(call);
            for (const SegmentNumber number : run.store->take_dead()) {
                run.store->remove(number, [](const Error&) {});
            }
            const auto written = run.write(batch);
            crashed = run.disk.is_off();
            CHECK(written.has_value() != crashed);
            run.make();
            run.disk.crash(seed);
            // Whether a page of the batch came through is not said by anybody: the files of it are
            // there, or not, and are not among those of the pages.
            if (!crashed) {
                run.sound.insert(run.sound.end(), batch.begin(), batch.end());
            }
            const auto opened = run.reopen(run.sound);
            REQUIRE_MESSAGE(opened.has_value(), opened.error().text);
            for (const Known& known : run.sound) {
                run.expect_readable(known);
            }
            std::set<SegmentNumber> used;
            for (const Known& known : run.sound) {
                used.insert(known.address.segment);
            }
            for (const SegmentNumber number : run.store->take_dead()) {
                CHECK_FALSE(used.contains(number));
                run.store->remove(number, [](const Error& error) { FAIL(error.text); });
            }
            run.worker.run_all();
            CHECK(run.disk.image().size() == used.size());
            run.expect_readable(run.written_page(shared, 100));
        }
        calls = call;
    }
    CHECK(calls > 8);
}

}  // namespace
}  // namespace mqd::storage::test
