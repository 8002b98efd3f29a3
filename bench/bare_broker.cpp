#include "bench/bare_broker.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <sys/epoll.h>

#include "bench/broker_log.hpp"
#include "bench/failure.hpp"
#include "bench/socket.hpp"

namespace mqd::bench {

namespace {

constexpr std::size_t read_bytes_max = 256 * 1024;  // of one read
constexpr int events_max = 128;                     // of one turn

struct Client {
    Client(Descriptor connection, Role greeting)
        : socket(std::move(connection)), role(greeting), acks(socket.get()) {}

    Descriptor socket;
    Role role;
    TotalReader acks;                              // of a consumer
    std::uint64_t received = 0;                    // messages of a producer
    std::uint64_t confirmed = 0;                   // of these
    std::array<std::byte, frame_bytes> partial{};  // a message that has come in part
    std::size_t partial_bytes = 0;
};

class BareBroker {
  public:
    BareBroker(int listener, const BareBrokerOptions& options)
        : listener_(listener),
          epoll_(::epoll_create1(EPOLL_CLOEXEC)),
          mode_(options.log),
          window_bytes_(options.unacked_max * frame_bytes),
          backlog_bytes_max_(4 * window_bytes_),
          buffer_(2 * backlog_bytes_max_ + read_bytes_max + frame_bytes) {
        if (mode_ != LogMode::none) {
            log_.emplace(options.log_path);
        }
        watch(listener_, EPOLL_CTL_ADD, EPOLLIN, nullptr);
    }

    [[noreturn]] void run() {
        std::array<epoll_event, events_max> events;
        while (true) {
            const int n = ::epoll_wait(epoll_.get(), events.data(), events_max, -1);
            for (int i = 0; i < n; ++i) {
                handle(static_cast<Client*>(events[static_cast<std::size_t>(i)].data.ptr));
            }
            log_received();
            deliver();
            confirm();
            pause_or_resume_producers();
        }
    }

  private:
    void watch(int fd, int operation, std::uint32_t what, Client* client) {
        epoll_event event{};
        event.events = what;
        event.data.ptr = client;
        if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) {
            fail_errno("epoll_ctl");
        }
    }

    void handle(Client* client) {
        if (client == nullptr) {
            accept();
        } else if (client->role == Role::producer) {
            receive(*client);
        } else if (const auto acked = client->acks.read(Wait::no)) {
            acked_ = consumer_begin_ + *acked * frame_bytes - dropped_;
        } else {
            drop(*client);
        }
    }

    void accept() {
        Descriptor socket = accept_from(listener_);
        const Role role = read_role(socket.get());
        clients_.push_back(std::make_unique<Client>(std::move(socket), role));
        Client& client = *clients_.back();
        watch(client.socket.get(), EPOLL_CTL_ADD, EPOLLIN, &client);
        if (role == Role::consumer) {
            consumer_ = &client;
            consumer_begin_ = dropped_ + acked_;
            sent_ = acked_;
            deliver_blocked_ = false;
        }
    }

    void drop(Client& client) {
        if (consumer_ == &client) {
            consumer_ = nullptr;
        }
        client.socket.close();
        client.received = client.confirmed;
        client.role = Role::consumer;  // of nothing: it will not be read again
    }

    // Reads right behind the last message, so that no body is copied.
    void receive(Client& client) {
        make_room();
        std::byte* const at = buffer_.data() + tail_;
        std::memcpy(at, client.partial.data(), client.partial_bytes);
        const auto got = receive_some(client.socket.get(),
                                      {at + client.partial_bytes, read_bytes_max}, Wait::no);
        if (!got) {
            return drop(client);
        }
        const std::size_t bytes = client.partial_bytes + *got;
        std::size_t whole = 0;
        for (; bytes - whole >= frame_bytes; whole += frame_bytes) {
            std::uint32_t size = 0;
            std::memcpy(&size, at + whole, sizeof size);
            if (size != body_bytes) {
                fail("a message of a size that the bare broker does not serve");
            }
        }
        client.received += whole / frame_bytes;
        client.partial_bytes = bytes - whole;
        std::memcpy(client.partial.data(), at + whole, client.partial_bytes);
        tail_ += whole;
    }

    // Moves what is not acked to the front when the buffer ends. The backlog is at most half of the
    // buffer, so that a byte is moved at most about once.
    void make_room() {
        if (acked_ == tail_ || buffer_.size() - tail_ < read_bytes_max + frame_bytes) {
            std::memmove(buffer_.data(), buffer_.data() + acked_, tail_ - acked_);
            dropped_ += acked_;
            tail_ -= acked_;
            logged_ -= acked_;
            sent_ -= acked_;
            acked_ = 0;
        }
        if (buffer_.size() - tail_ < read_bytes_max + frame_bytes) {
            fail("producers sent more than their windows allow");
        }
    }

    void log_received() {
        if (log_ && logged_ < tail_) {
            log_->append({buffer_.data() + logged_, tail_ - logged_});
            if (mode_ == LogMode::synced) {
                log_->sync();
            }
        }
        logged_ = tail_;
    }

    void deliver() {
        const std::size_t end = std::min(logged_, acked_ + window_bytes_);
        if (consumer_ == nullptr || sent_ >= end) {
            return;
        }
        const int fd = consumer_->socket.get();
        sent_ += send_some(fd, {buffer_.data() + sent_, end - sent_}, Wait::no);
        if (const bool blocked = sent_ < end; blocked != deliver_blocked_) {
            watch(fd, EPOLL_CTL_MOD, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, consumer_);
            deliver_blocked_ = blocked;
        }
    }

    void confirm() {
        for (const auto& client : clients_) {
            if (client->confirmed < client->received) {
                client->confirmed = client->received;
                send_total(client->socket.get(), client->confirmed);
            }
        }
    }

    void pause_or_resume_producers() {
        const std::size_t backlog = tail_ - acked_;
        const bool pause = backlog > (paused_ ? backlog_bytes_max_ / 2 : backlog_bytes_max_);
        if (pause == paused_) {
            return;
        }
        paused_ = pause;
        for (const auto& client : clients_) {
            if (client->role == Role::producer) {
                watch(client->socket.get(), EPOLL_CTL_MOD, pause ? 0u : EPOLLIN, client.get());
            }
        }
    }

    int listener_;
    Descriptor epoll_;
    LogMode mode_;
    std::optional<BrokerLog> log_;
    std::vector<std::unique_ptr<Client>> clients_;
    Client* consumer_ = nullptr;
    std::uint64_t consumer_begin_ = 0;  // bytes of the stream that were acked before it came

    // The queue: bytes of whole messages in buffer_, acked_ <= sent_ <= logged_ <= tail_.
    std::size_t window_bytes_;       // that the consumer may hold unacked
    std::size_t backlog_bytes_max_;  // beyond it, producers are not read
    std::vector<std::byte> buffer_;
    std::uint64_t dropped_ = 0;  // bytes of the stream that lay in front of the buffer's begin
    std::size_t acked_ = 0;
    std::size_t sent_ = 0;
    std::size_t logged_ = 0;
    std::size_t tail_ = 0;
    bool deliver_blocked_ = false;  // the consumer's socket is full, and epoll tells when it is not
    bool paused_ = false;
};

}  // namespace

void run_bare_broker(int listener, const BareBrokerOptions& options) {
    BareBroker(listener, options).run();
}

}  // namespace mqd::bench
