#pragma once

// One producer handle of a session: packs messages into PUBLISH frames within the daemon's credit,
// and accounts for the answer to every line. No I/O; owned by its Session, valid until
// Session::release(). docs/protocol.md, "Publishing" and "Flow control".

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "client/handle.hpp"
#include "client/output.hpp"
#include "mqd/client.hpp"
#include "mqd/wire/handle.hpp"

namespace mqd::client {

// What the connection allows a producer.
struct PublishLimits {
    std::size_t frame_body_bytes_max = 0;  // that the daemon takes
    std::uint32_t message_body_bytes_max = 0;
    std::size_t gather_bytes = 0;  // what is gathered into one frame, its header included
};

class ProducerHandle : public Handle {
  public:
    ProducerHandle(HandleId number, std::string_view queue_name, const ProducerOptions& options,
                   Output& output, const PublishLimits& limits);

    // Takes a message into the frame that is being gathered; a full frame goes to the output first.
    // Nothing: there is no credit for it now (what is gathered went to the output, so that answers
    // will bring some). Errors: as Producer::send() in mqd/client.hpp.
    // How far a due time lies ahead is for the caller to check, who has a clock.
    [[nodiscard]] Result<std::optional<LineNumber>> send(wire::Bytes body, HeaderList headers,
                                                         const MessageOptions& options = at_once);
    // The gathered frame goes to the output.
    void flush();

    [[nodiscard]] LineNumber next_line() const { return next_line_; }
    // Every line before it is answered.
    [[nodiscard]] LineNumber answered_up_to() const { return answered_; }
    [[nodiscard]] std::uint64_t unconfirmed() const { return next_line_ - answered_; }

    struct Refusal {
        Error error;
        LineRange lines;  // while the refusal stands, `count` is 0: up to next_line()
    };
    // The refusal that stands.
    [[nodiscard]] const std::optional<Refusal>& refusal() const { return refusal_; }
    // What a producer with a name had sent before it was opened; otherwise 0.
    [[nodiscard]] LineNumber last_line() const { return last_line_; }
    [[nodiscard]] bool has_name() const { return has_name_; }
    // OPENED said how far it has come. One that has no name knows that, too.
    [[nodiscard]] bool knows_last_line() const { return knows_last_line_; }
    // Ends the standing refusal with a RESUME. Precondition: there is one.
    LineRange resume();
    // Refusals that ended are remembered, at most so many; those that follow one another for the
    // same reason are one.
    static constexpr std::size_t refusals_max = 64;
    // The error of a line, if it is known to be refused.
    [[nodiscard]] const Error* refused(LineNumber line) const;
    // Lines before it may have been refused without refused() knowing.
    [[nodiscard]] LineNumber known_from() const { return known_from_; }

    // Appends the confirmed lines since the last call, in order, merged where they continue each
    // other.
    void take_confirmed(std::vector<ConfirmedLines>& into);

    // --- For the session: frames of the daemon. False: the daemon broke the protocol.
    // -------------
    void opened(const wire::Opened& frame);
    [[nodiscard]] bool confirm(const wire::Confirm& frame);
    [[nodiscard]] bool refuse(const wire::Refuse& frame);
    void credit(const wire::Credit& frame);

  private:
    [[nodiscard]] std::optional<Error> check(std::size_t body_bytes, const HeaderList& headers,
                                             const MessageOptions& options,
                                             std::size_t& attributes_bytes) const;
    [[nodiscard]] bool has_credit(std::size_t message_bytes) const;
    [[nodiscard]] bool is_answered() const { return unconfirmed() == 0 && refused_late_ == 0; }
    void remember(Refusal ended);
    void begin_frame(std::size_t message_bytes);
    void append(wire::Bytes body, const HeaderList& headers, const MessageOptions& options,
                std::size_t attributes_bytes);

    static constexpr std::size_t frame_overhead =
        wire::frame_header_bytes + wire::Publish::fixed_bytes;

    Output& output_;
    const PublishLimits& limits_;
    Durability confirm_durability_;

    Chunk frame_;  // being gathered: header and fixed part are filled in at the end
    std::uint32_t frame_count_ = 0;    // messages in it
    std::size_t frame_bytes_max_ = 0;  // that it may grow to

    LineNumber next_line_{1};
    LineNumber framed_{1};  // every line before it has gone to the output
    LineNumber answered_{1};
    std::uint64_t sent_messages_ = 0;  // in all, refused ones included
    std::uint64_t sent_bytes_ = 0;
    wire::Credit credit_;

    std::optional<Refusal> refusal_;
    std::deque<Refusal> refusals_;  // ended by resume(), in line order
    LineNumber known_from_{1};      // the end of the last one that was forgotten
    // Of a producer with a name: lines that were sent before RESUME and are still to be refused.
    // Their numbers are given again, so that they are counted apart.
    LineNumber refused_late_from_{0};
    std::uint64_t refused_late_ = 0;
    bool has_name_ = false;
    bool knows_last_line_ = true;
    LineNumber last_line_{0};
    LineNumber resumed_{1};  // lines before it that are refused belong to refusals that ended
    std::vector<ConfirmedLines> confirmed_;
};

}  // namespace mqd::client
