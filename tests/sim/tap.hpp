#pragma once

// Listens to one connection at the daemon's end and tells the judge: every frame that goes in, as
// it goes in; every frame that came out, at the end of the turn in which it came out.

#include <map>
#include <string>
#include <vector>

#include "mqd/wire/handle.hpp"
#include "sim/judge.hpp"

namespace mqd::sim {

class Tap {
  public:
    // `traced`: every frame is printed.
    Tap(Judge& judge, Identity identity, bool traced)
        : judge_(judge), identity_(identity), traced_(traced) {}

    void heard_in(wire::Bytes bytes);
    // How many of these bytes, which are to be heard next, end with a TRANSACT; all, if none does.
    [[nodiscard]] std::size_t up_to_transact(wire::Bytes bytes) const;
    // A TRANSACT went in as the last frame: what it is refused with is to be heard, and then
    // answered_at_once() to be said.
    [[nodiscard]] bool transacts() const { return transacting_ != nullptr; }
    void answered_at_once();
    // DELIVER frames wait for tell_deliveries(): whatever ended a lease in the same turn came
    // before.
    void heard_out(wire::Bytes bytes);
    void tell_deliveries();
    // The session ended.
    void ended();

    // Lines that were published and not answered.
    [[nodiscard]] std::uint64_t unanswered() const;
    // Messages of all its consumers.
    [[nodiscard]] std::uint64_t held() const;

  private:
    void check_credit() const;

    struct Opening {
        bool is_producer = false;
        std::string queue;
        std::uint64_t place = 0;  // of a consumer; which opening of its name, of a producer
        Sharing sharing{};
        std::string name{};  // of a producer
        std::uint32_t wait_ms = 0;
    };
    struct Request {
        wire::FrameType type{};
        std::string queue;    // of an administrator's request
        EndingRecord ending;  // ACK, purge
        TransactionRecord* transaction = nullptr;
        MessageNumber number{};          // of a history
        std::uint64_t heard_before = 0;  // deliveries, when it was asked for
    };

    template <typename Fn>
    static void split(std::vector<std::byte>& partial, wire::Bytes bytes, Fn&& fn);
    void trace(const char* direction, const wire::FrameHeader& header, wire::Bytes body) const;
    void take_in(const wire::FrameHeader& header, wire::Bytes body);
    void take_settlement(const wire::FrameHeader& header, wire::Bytes body);
    void take_request(const wire::FrameHeader& header, wire::Bytes body);
    void take_out(const wire::FrameHeader& header, wire::Bytes body);
    void take_opened(const wire::FrameHeader& header, const wire::Opened& opened);
    void take_answer(const wire::FrameHeader& header, wire::Bytes body);
    void end_handle(HandleId handle);
    [[nodiscard]] ConsumerRecord* consumer(HandleId handle);
    [[nodiscard]] ProducerRecord* producer(HandleId handle);

    Judge& judge_;
    Identity identity_;
    bool traced_;
    std::vector<std::byte> partial_in_;
    std::vector<std::byte> partial_out_;
    std::map<HandleId, Opening> openings_;
    std::map<HandleId, ProducerRecord*> producers_;
    std::map<HandleId, ConsumerRecord*> consumers_;
    std::map<CorrelationId, Request> requests_;
    TransactionRecord* transacting_ = nullptr;
    std::vector<std::vector<std::byte>> deliveries_;  // whole frames
    bool said_goodbye_ = false;                       // and was answered: its handles have ended
};

}  // namespace mqd::sim
