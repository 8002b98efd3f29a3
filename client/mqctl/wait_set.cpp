#include "client/mqctl/wait_set.hpp"

#include <algorithm>

namespace mqd::mqctl {

WaitSet::WaitSet(const SignalWatch& signals, const Client& client)
    : signal_{signals.descriptor(), POLLIN, 0},
      connection_{client.native_handle(),
                  static_cast<short>(client.wants_write() ? POLLIN | POLLOUT : POLLIN), 0} {
    until(client.next_deadline());
}

void WaitSet::until(Clock::time_point when) {
    until_ = until_ ? std::min(*until_, when) : when;
}

void WaitSet::until(std::optional<Clock::time_point> when) {
    if (when) {
        until(*when);
    }
}

void WaitSet::wait() {
    int timeout_ms = -1;
    if (until_) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*until_ - Clock::now());
        timeout_ms = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
    }
    std::array<pollfd, 4> all{signal_, connection_, input_, output_};
    if (::poll(all.data(), all.size(), timeout_ms) <= 0) {
        return;
    }
    signal_ = all[0];
    connection_ = all[1];
    input_ = all[2];
    output_ = all[3];
}

}  // namespace mqd::mqctl
