#include "daemon/storage/verdict.hpp"

#include <array>

#include "mqd/assert.hpp"

namespace mqd::storage {

namespace {

constexpr std::array<VerdictRow, 15> table = {{
    {Row::empty_store, Verdict::fresh, "no file is in use: an empty store"},
    {Row::end, Verdict::clean_end, "zeros or an earlier use behind the last group"},
    {Row::torn, Verdict::torn_tail, "a torn group behind the last one"},
    {Row::end_then_later, Verdict::torn_tail, "a group is missing, later ones are there"},
    {Row::torn_then_later, Verdict::torn_tail, "a torn group, and later ones"},
    {Row::end_below_watermark, Verdict::damage, "a group that had been synced is missing"},
    {Row::torn_below_watermark, Verdict::damage, "a group that had been synced is unreadable"},
    {Row::sequence_gap, Verdict::damage, "a group is out of sequence"},
    {Row::file_ends_early, Verdict::damage, "a file ends before the next one begins"},
    {Row::file_missing, Verdict::damage, "a file that is needed is missing or unreadable"},
    {Row::file_twice, Verdict::damage, "two files have the same place in the order"},
    {Row::groups_without_header, Verdict::damage,
     "a file whose header is unreadable holds groups that had been synced"},
    {Row::header_unused, Verdict::not_in_use, "a file header that is blank, torn or spare"},
    {Row::newer_version, Verdict::newer, "a file of a later format version"},
    {Row::os_error, Verdict::failure, "the operating system reports an error"},
}};

consteval bool in_order() {
    for (std::size_t i = 0; i < table.size(); ++i) {
        if (static_cast<std::size_t>(table[i].row) != 'A' + i) {
            return false;
        }
    }
    return true;
}
static_assert(in_order(), "row letters run from A on, without a hole");

}  // namespace

const VerdictRow& verdict_of(Row row) {
    const auto index = static_cast<std::size_t>(row) - 'A';
    MQD_ASSERT(index < table.size(), index);
    return table[index];
}

const VerdictRow& verdict_at_end(At at, Evidence evidence) {
    MQD_ASSERT(at != At::group);
    switch (evidence) {
        case Evidence::none: return verdict_of(at == At::end ? Row::end : Row::torn);
        case Evidence::below:
            return verdict_of(at == At::end ? Row::end_then_later : Row::torn_then_later);
        case Evidence::covers:
            return verdict_of(at == At::end ? Row::end_below_watermark : Row::torn_below_watermark);
    }
    MQD_ASSERT(false);
    return verdict_of(Row::end);
}

}  // namespace mqd::storage
