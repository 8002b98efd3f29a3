#include "client/mqctl/sent_messages.hpp"

#include "mqd/assert.hpp"

namespace mqd::mqctl {

void SentMessages::add(const Message& message) {
    MQD_ASSERT(!any_left());
    Copy& copy = sent_.emplace_back();
    copy.body = message.body;
    copy.group = message.options.group;
    for (const Header& header : message.headers) {
        copy.headers.emplace_back(header.key, header.value);
    }
    for (const auto& [key, value] : copy.headers) {
        copy.header_views.push_back({key, value});
    }
    copy.message.body = copy.body;
    copy.message.headers = copy.header_views;
    copy.message.options = message.options;
    copy.message.options.group = copy.group;
}

void SentMessages::confirmed(std::uint64_t count) {
    MQD_ASSERT(count <= next_, count, next_);
    sent_.erase(sent_.begin(), sent_.begin() + static_cast<std::ptrdiff_t>(count));
    next_ -= count;
}

}  // namespace mqd::mqctl
