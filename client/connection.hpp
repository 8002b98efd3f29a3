#pragma once

// The blocking driver: a socket under a Session, on the caller's thread. Writes and reads in turn,
// so that it always reads while its write is blocked; calls the handlers of producers and
// consumers. One thread at a time, but for a LeaseKeeper, with which calls take turns (InUse).
// Shared by a Client and what was opened from it.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/lease_keeper.hpp"
#include "client/session.hpp"
#include "client/socket.hpp"
#include "mqd/client.hpp"

namespace mqd::client {

class Connection;

// What a Producer or Consumer is made of: its handle in the session, and the way to its handler.
class Part {
  public:
    Part(std::shared_ptr<Connection> owner, HandleId number);
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;
    // Gives up the handle; waits for nothing.
    virtual ~Part();

    // Takes what the session has to tell of the handle, and tells the handler.
    virtual void take_news() = 0;
    // For a LeaseKeeper: what take_news() would have to tell of messages that are overrun.
    virtual void take_overrun(std::vector<Overrun>& into) { (void)into; }

  protected:
    // Why no call is possible now: it comes from within a handler, the handle was given up, or
    // GOODBYE was said.
    [[nodiscard]] bool usable() const;
    [[nodiscard]] Error why_not_usable() const;
    // The error of a handle that has ended, as a call that needs it returns it.
    [[nodiscard]] Error why_ended(const Handle& handle) const;
    // Sends CLOSE_HANDLE, if the handle is still open, waits for the answer, and gives the handle
    // up.
    [[nodiscard]] Result<void> close_handle(Deadline deadline);
    void give_up();

    std::shared_ptr<Connection> connection_;
    std::optional<HandleId> number_;  // nothing once it was given up
};

class Connection {
  public:
    // Greets the daemon at the other end. Errors: as Client::connect().
    [[nodiscard]] static Result<std::shared_ptr<Connection>> greet(Socket socket,
                                                                   const ConnectOptions& options,
                                                                   Deadline deadline);
    Connection(Socket socket, const ConnectOptions& options);

    // While it lives, the connection is its thread's. Every call of the library that changes the
    // session or what it is about to write has one, and the calls within it may have theirs.
    class InUse {
      public:
        explicit InUse(Connection& connection) : connection_(connection) { connection_.enter(); }
        InUse(const InUse&) = delete;
        InUse& operator=(const InUse&) = delete;
        ~InUse() { connection_.leave(); }

      private:
        Connection& connection_;
    };
    // A thread that keeps the leases while the connection is not in use. Preconditions: it is not
    // now, and there is none yet; and at the end, it is not again.
    [[nodiscard]] Result<void> start_keeper();
    void end_keeper();
    [[nodiscard]] bool has_keeper() const { return keeper_ != nullptr; }
    // For the keeper: writes what is due and can be written, without waiting; says when to come
    // again. Calls no handler.
    [[nodiscard]] Deadline::Clock::time_point keep_leases(std::vector<Overrun>& overrun);

    [[nodiscard]] Session& session() { return session_; }
    [[nodiscard]] Timeout timeout() const { return options_.timeout; }
    [[nodiscard]] Deadline default_deadline() const { return Deadline::after(options_.timeout); }
    [[nodiscard]] int descriptor() const { return socket_.descriptor(); }
    [[nodiscard]] bool in_handler() const {
        return LeaseKeeper::is_current_thread() || in_handler_;
    }
    // Why a call that needs the daemon is not possible: within a handler, or not connected any
    // more.
    [[nodiscard]] std::optional<Error> why_not_ready() const;

    // One round: writes everything that is gathered, waits for something to arrive, reads it, calls
    // handlers. True when something arrived.
    bool step(Deadline deadline);
    // A round that does not wait, if one is due: for calls that find what they need without any, so
    // that leases are extended, settlements written and the daemon heard while a program is busy
    // with what is buffered. Costs a look at a coarse clock, and without a consumer not even that.
    void keep_up() {
        if (keeps_time_ && coarse_now() >= round_at_) [[unlikely]] {
            step(Deadline::after(Timeout(0)));
        }
    }
    // Rounds until `done` (true), the deadline (false), or the end of the session (true or false as
    // `done` says then).
    template <typename Done>
    bool run_until(Deadline deadline, Done done) {
        while (!done()) {
            if (session_.state() == Session::State::closed) {
                return false;
            }
            if (!step(deadline) && deadline.passed()) {
                return done();
            }
        }
        return true;
    }
    // Hands everything that is gathered to the kernel.
    [[nodiscard]] Result<void> flush(Deadline deadline);
    // Writes and reads what is possible without waiting, if enough has gathered to be worth it.
    void pump_if_due() {
        if (session_.output_bytes() >= pump_at_) [[unlikely]] {
            write_some();
            read_some();
        }
    }
    // Writes what is possible without waiting.
    void write_some();
    // Whether so much waits to be written that nothing should be added to it.
    [[nodiscard]] bool output_is_full() const { return session_.output_bytes() >= output_max_; }

    // The answer's body, or its error.
    [[nodiscard]] Result<std::vector<std::byte>> await_reply(CorrelationId correlation,
                                                             Deadline deadline);
    template <typename Frame>
    [[nodiscard]] Result<std::vector<std::byte>> call(const Frame& frame,
                                                      wire::FrameType expected) {
        const InUse in_use(*this);
        if (const auto bad = why_not_ready()) {
            return *bad;
        }
        return await_reply(session_.request(frame, expected), default_deadline());
    }

    // Ends properly; breaks off.
    [[nodiscard]] Result<void> goodbye(Deadline deadline);
    void abandon();

    void attach(HandleId handle, Part* part);
    void detach(HandleId handle);

    // At most some milliseconds behind Deadline::Clock, and a quarter of its price.
    [[nodiscard]] static Time coarse_now();

  private:
    void enter() {
        if (keeper_ != nullptr && !LeaseKeeper::is_current_thread() && uses_++ == 0) [[unlikely]] {
            keeper_->take_back();
        }
    }
    void leave() {
        if (keeper_ != nullptr && !LeaseKeeper::is_current_thread() && --uses_ == 0) [[unlikely]] {
            keeper_->hand_over();
        }
    }
    // write_some() up to an error: an errno, -1, or 0.
    [[nodiscard]] int try_to_write();
    bool round(Deadline deadline);
    // What has arrived may have to be seen to: leases. Says when the next round is due.
    void see_to_time();
    bool read_some(bool block = false);
    void tell_news();
    void broken(int os_errno);

    ConnectOptions options_;
    Socket socket_;
    Session session_;
    std::size_t output_max_;
    std::size_t pump_at_;        // bytes of output from which on pump_if_due() does something
    bool expect_input_ = false;  // the last read brought much: reading comes before polling
    bool in_handler_ = false;
    bool keeps_time_ = false;     // round_at_ holds
    Time round_at_{0};            // when keep_up() has something to do
    std::vector<Part*> parts_;    // by handle
    std::vector<HandleId> news_;  // scratch
    std::unique_ptr<LeaseKeeper> keeper_;
    unsigned uses_ = 0;  // by the thread of the program, one within the other
};

}  // namespace mqd::client
