#pragma once

// A daemon with a queue "orders", driven by mqctl: what tests of its commands begin with.

#include <string>
#include <string_view>

#include "integration/mqctl_run.hpp"

namespace mqd::test {

struct OrdersQueue {
    DaemonProcess daemon;
    Mqctl mqctl;

    explicit OrdersQueue(const std::string& config = {})
        : daemon(MQD_BIN, {.config = config}), mqctl(daemon.url()) {
        daemon.start();
        mqctl.must({"-q", "queue", "create", "orders"});
    }
    void publish_lines(const std::string& lines) const {
        mqctl.must({"-q", "publish", "orders", "--lines"}, lines);
    }
    // Of `queue show -o json`.
    [[nodiscard]] std::uint64_t number(std::string_view field) const {
        return mqctl.queue_number("orders", field);
    }
};

}  // namespace mqd::test
