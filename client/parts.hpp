#pragma once

// What stands behind Producer and Consumer of mqd/client.hpp: the handle of the session, the
// handler of the program, and the blocking calls between them.

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "client/connection.hpp"
#include "mqd/client.hpp"

namespace mqd::client {

// Calls the handler, if there is one, for each piece of news, and takes off those that it was
// called for: all of them, unless it throws.
template <typename News, typename Handler>
void tell_each(std::vector<News>& news, const Handler& handler) {
    struct Guard {
        std::vector<News>& news;
        std::size_t told = 0;

        ~Guard() { news.erase(news.begin(), news.begin() + static_cast<std::ptrdiff_t>(told)); }
    };
    Guard guard{news};
    while (guard.told < news.size()) {
        const News& next = news[guard.told++];
        if (handler) {
            handler(next);
        }
    }
}

struct ProducerPart final : public Part {
    ProducerPart(std::shared_ptr<Connection> owner, HandleId number);

    void take_news() override;

    [[nodiscard]] Result<LineNumber> send(wire::Bytes body, HeaderList headers,
                                          const MessageOptions& options, bool may_block);
    // Preconditions of these: usable(); the line has been sent.
    [[nodiscard]] Result<void> wait_line(LineNumber line, Deadline deadline);
    [[nodiscard]] Result<void> wait_unconfirmed(std::uint64_t at_most, Deadline deadline);
    // wait_line() that gives up when no line was answered for as long as calls wait by default.
    [[nodiscard]] Result<void> wait_line_by_steps(LineNumber line);
    // Sends all and waits for all; what is confirmed meanwhile, lines before these included, is
    // appended to `runs`. Precondition: usable().
    [[nodiscard]] Result<void> publish_many(std::span<const Message> messages,
                                            std::vector<ConfirmedLines>& runs);

    // The error of a wait as a call returns it that took messages itself: `timeout` would say that
    // it took none.
    [[nodiscard]] Error as_taken(const Error& error) const;

    // Until every line is confirmed or refused.
    [[nodiscard]] Result<void> wait_answered(Deadline deadline);

    [[nodiscard]] Connection& connection() { return *connection_; }
    [[nodiscard]] Deadline default_deadline() const { return connection_->default_deadline(); }
    using Part::close_handle;
    using Part::give_up;
    using Part::usable;
    using Part::why_ended;
    using Part::why_not_usable;

    // While it lives, confirmed lines are appended to `into` as well.
    class Collecting {
      public:
        Collecting(ProducerPart& part, std::vector<ConfirmedLines>& into) : part_(part) {
            part_.collected = &into;
        }
        Collecting(const Collecting&) = delete;
        Collecting& operator=(const Collecting&) = delete;
        ~Collecting() { part_.collected = nullptr; }

      private:
        ProducerPart& part_;
    };

    ProducerHandle* handle;  // null once the producer was closed
    ConfirmHandler handler;
    std::vector<ConfirmedLines>* collected = nullptr;
    std::vector<ConfirmedLines> confirmed;  // not yet told to the handler
    ConfirmedLines last_confirmed;
    std::string queue;
    QueueId incarnation;
    Durability durability{};
    LineNumber last_line{0};
    LineNumber next_line_at_close{1};
    LineNumber answered_at_close{1};

  private:
    [[nodiscard]] Result<LineNumber> send_blocking(wire::Bytes body, HeaderList headers,
                                                   const MessageOptions& options);
    [[nodiscard]] Result<void> check_unconfirmed(std::uint64_t at_most) const;
    [[nodiscard]] Error out_of_credit() const;
    [[nodiscard]] Error outcome_unknown() const;
};

struct ConsumerPart final : public Part {
    ConsumerPart(std::shared_ptr<Connection> owner, HandleId number);

    void take_news() override;
    void take_overrun(std::vector<Overrun>& into) override;

    // Calls `next` with the handle until it finds something: true; or the deadline: false.
    template <typename Next>
    [[nodiscard]] Result<bool> receive(Next next, Timeout timeout);
    // For what is not bounded by the window: waits until the output is not full. The error is that
    // it stays so; other obstacles are left to settle().
    [[nodiscard]] std::optional<Error> wait_for_room();
    // Runs `settle` on the handle and writes what it put into the output.
    template <typename Settle>
    [[nodiscard]] Result<void> settle(Settle settle);

    [[nodiscard]] Connection& connection() { return *connection_; }
    using Part::close_handle;
    using Part::usable;
    using Part::why_ended;
    using Part::why_not_usable;

    ConsumerHandle* handle;  // null once the consumer was closed
    LeaseLostHandler handler;
    LeaseLostHandler overrun_handler;
    std::function<void()> active_handler;
    std::vector<MessageRange> lost;     // not yet told to the handler
    std::vector<MessageRange> overrun;  // nor these
    std::string queue;
    QueueId incarnation;
    std::chrono::milliseconds lease{0};
    std::uint64_t leases_lost_at_close = 0;
};

}  // namespace mqd::client
