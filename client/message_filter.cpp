#include "client/message_filter.hpp"

#include <algorithm>

namespace mqd {

bool MessageFilter::lets_through(const PeekedMessage& message) const {
    const bool state =
        states.empty() || std::find(states.begin(), states.end(), message.state) != states.end();
    return state && message.published >= published_from.value_or(message.published) &&
           (!published_before || message.published < *published_before) &&
           std::all_of(headers.begin(), headers.end(), [&](const auto& header) {
               return std::find(message.headers.begin(), message.headers.end(), header) !=
                      message.headers.end();
           });
}

namespace client {

Result<std::optional<wire::PeekFilter>> to_wire(const MessageFilter& filter) {
    if (filter.headers.size() > wire::filter_headers_max) {
        return Error{ErrorCode::bad_option, "a filter has at most 16 headers",
                     wire::filter_headers_max};
    }
    if (filter.states.empty() && !filter.published_from && !filter.published_before &&
        filter.headers.empty()) {
        return std::optional<wire::PeekFilter>();
    }
    wire::PeekFilter wanted;
    for (const MessageState state : filter.states) {
        wanted.states = static_cast<std::uint8_t>(wanted.states | wire::state_bit(state));
    }
    // 1970 itself is not said on the wire, and no message is as old.
    wanted.published_from = filter.published_from.value_or(WallTime());
    wanted.published_before = filter.published_before.value_or(WallTime());
    for (const auto& [key, value] : filter.headers) {
        if (key.empty() || key.size() > UINT8_MAX || value.size() > UINT16_MAX) {
            return Error{ErrorCode::bad_option,
                         "a filter has 1 to 255 bytes of key, and at most 65,535 of value"};
        }
        wanted.headers.push_back({key, value});
    }
    return std::optional(std::move(wanted));
}

}  // namespace client

}  // namespace mqd
