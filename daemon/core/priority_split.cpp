#include "daemon/core/priority_split.hpp"

#include "daemon/storage/planted_fault.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd::core {

namespace {

// Of the message that begins there.
wire::Bytes attributes_at(wire::Bytes batch, std::uint32_t begin) {
    const auto bytes = wire::load<std::uint16_t>(batch.data() + begin + 4);
    return batch.subspan(begin + wire::message_header_bytes, bytes);
}

}  // namespace

void PrioritySplit::clear() {
    if (lines_.empty()) {
        return;
    }
    for (std::vector<BatchRun>& runs : of_priority_) {
        runs.clear();
    }
    lines_.clear();
    levels_used_ = 0;
}

Result<void> PrioritySplit::read(wire::Bytes batch, const std::uint32_t* end_offsets,
                                 std::uint32_t count) {
    clear();
    std::uint32_t begin = 0;
    for (std::uint32_t i = 0; i < count; begin = end_offsets[i++]) {
        auto priority = wire::decode_priority(attributes_at(batch, begin));
        if (!priority) {
            return Error{ErrorCode::bad_option, "a message has one priority, from 0 to 9",
                         priority_max};
        }
        if (storage::planted(storage::Fault::priority_inversion) && *priority == priority_max) {
            priority = 0;
        }
        levels_used_ += of_priority_[*priority].empty() ? 1 : 0;
        add_to_runs(of_priority_[*priority], i);
        if (!lines_.empty() && lines_.back().priority == *priority) {
            ++lines_.back().count;
        } else {
            lines_.push_back({1, *priority});
        }
    }
    return {};
}

}  // namespace mqd::core
