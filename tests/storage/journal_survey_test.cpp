#include "daemon/storage/journal_survey.hpp"

#include <doctest/doctest.h>

#include "support/sim_disk.hpp"

namespace mqd::storage {
namespace {

TEST_CASE("journal survey: a name and its number belong together, one to one") {
    for (const std::uint32_t number : {1u, 999u, 9'999u, 10'000u, 123'456'789u, UINT32_MAX}) {
        CHECK(journal_file_number(journal_file_name(number)) == number);
    }
    CHECK(journal_file_name(7) == "journal-0007");
    CHECK(journal_file_name(12'345) == "journal-12345");
    for (const char* name : {"", "journal", "journal-", "journal-007", "journal-00007",
                             "journal-0007x", "journal-x", "journal-12345678901", "segment-0007"}) {
        CAPTURE(name);
        CHECK_FALSE(journal_file_number(name).has_value());
    }
}

// One that is shorter than its header was being made when the process ended.
TEST_CASE("journal survey: files of any length are spares, others are none of its business") {
    mqd::test::SimDisk disk;
    disk.put("journal-0002", {});
    disk.put("journal-0010", mqd::test::SimDisk::Bytes(100));
    disk.put("journal-10000", mqd::test::SimDisk::Bytes(100'000));
    disk.put("journal-2", mqd::test::SimDisk::Bytes(100'000, std::byte{1}));
    const auto survey = survey_journal(disk);
    REQUIRE(survey.has_value());
    CHECK(survey->in_use.empty());
    REQUIRE(survey->unused.size() == 3);
    CHECK(survey->unused[0].number == 2);
    CHECK(survey->unused[1].bytes == 100);
    CHECK(survey->unused[2].number == 10'000);
    for (const StoredFile& file : survey->unused) {
        CHECK_FALSE(file.suspect);
    }
}

}  // namespace
}  // namespace mqd::storage
