#include "client/mqctl/message_selection.hpp"

#include <algorithm>

#include "client/mqctl/units.hpp"

namespace mqd::mqctl {
namespace {

constexpr std::uint64_t page_messages_max = 1000;

}  // namespace

MessageFilter filter_of(const SelectionOptions& said, WallTime now) {
    MessageFilter filter;
    filter.states = said.states;
    filter.headers = said.headers;
    if (said.older) {
        filter.published_before = now - *said.older;
    }
    if (said.newer) {
        filter.published_from = now - *said.newer;
    }
    return filter;
}

std::string describe(const SelectionOptions& said) {
    std::string text;
    const auto add = [&](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
    for (const auto& [key, value] : said.headers) {
        add((text.empty() ? "with " : "") + key + '=' + value);
    }
    if (said.older) {
        add("older than " + format_duration(*said.older));
    }
    if (said.newer) {
        add("newer than " + format_duration(*said.newer));
    }
    return text;
}

Result<std::vector<MessageRange>> Selection::next(std::uint64_t max) {
    std::vector<MessageRange> ranges;
    while (ranges.empty() && more_ && left_ > 0) {
        const auto most = static_cast<std::uint32_t>(std::min({left_, max, page_messages_max}));
        const auto page = client_.peek(queue_.name, from_, most, filter_);
        if (!page) {
            return page.error();
        }
        for (const PeekedMessage& message : page->messages) {
            if (message.number >= queue_.next_like(message.number)) {
                continue;  // it came since
            }
            if (!ranges.empty() && ranges.back().end() == message.number) {
                ++ranges.back().count;
            } else {
                ranges.push_back({message.number, 1});
            }
            --left_;
        }
        from_ = page->next;
        more_ = page->more && from_ < queue_.next_number;
    }
    return ranges;
}

std::uint64_t count_of(const std::vector<MessageRange>& ranges) {
    std::uint64_t count = 0;
    for (const MessageRange& range : ranges) {
        count += range.count;
    }
    return count;
}

}  // namespace mqd::mqctl
