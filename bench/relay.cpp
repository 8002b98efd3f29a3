#include <span>
#include <vector>

#include <sys/epoll.h>

#include "bench/bare_broker.hpp"
#include "bench/failure.hpp"
#include "bench/socket.hpp"

namespace mqd::bench {

namespace {

// Until the producer closes its connection.
void copy_from_to(int producer, int consumer, std::span<std::byte> buffer) {
    const Descriptor epoll(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{};
    event.events = EPOLLIN;
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, producer, &event) != 0) {
        fail_errno("epoll_ctl");
    }
    while (true) {
        (void)::epoll_wait(epoll.get(), &event, 1, -1);
        const auto got = receive_some(producer, buffer, Wait::no);
        if (!got) {
            return;
        }
        // Blocking: a relay with nowhere to write to has nothing else to do.
        std::span<const std::byte> rest(buffer.data(), *got);
        while (!rest.empty()) {
            rest = rest.subspan(send_some(consumer, rest, Wait::yes));
        }
    }
}

}  // namespace

void run_relay(int listener) {
    std::vector<std::byte> buffer(256 * 1024);
    while (true) {
        Descriptor producer;
        Descriptor consumer;
        while (producer.get() < 0 || consumer.get() < 0) {
            Descriptor client = accept_from(listener);
            (read_role(client.get()) == Role::producer ? producer : consumer) = std::move(client);
        }
        copy_from_to(producer.get(), consumer.get(), buffer);
    }
}

}  // namespace mqd::bench
