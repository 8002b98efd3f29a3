#pragma once

// Copies of messages that are sent or about to be and not confirmed, oldest first, so that they can
// be sent again: for a producer with a name, whose frames are refused whole where there is room for
// a part. As many as the daemon gives credit for.

#include <cstddef>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "mqd/client.hpp"

namespace mqd::mqctl {

class SentMessages {
  public:
    // One that is to be sent. Precondition: none is left.
    void add(const Message& message);
    // So many more, the oldest, are confirmed.
    void confirmed(std::uint64_t count);
    // None of them is under way any more.
    void send_again() { next_ = 0; }

    [[nodiscard]] bool any_left() const { return next_ < sent_.size(); }
    // The next to be sent, valid until it is confirmed. Preconditions of it and of sent():
    // any_left().
    [[nodiscard]] const Message& next() const { return sent_[next_].message; }
    void sent() { ++next_; }
    // The last sent() came too early.
    void not_sent() { --next_; }

  private:
    struct Copy {
        std::string body;
        std::vector<std::pair<std::string, std::string>> headers;
        std::string group;
        std::vector<Header> header_views;
        Message message;  // views of these
    };

    std::deque<Copy> sent_;
    std::size_t next_ = 0;
};

}  // namespace mqd::mqctl
