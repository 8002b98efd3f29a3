#pragma once

// Every frame of the protocol by its type, for tests that mean all of them. A frame added to
// wire/frame.hpp is added here, and the compiler (a switch without default) and the test of the
// vectors remind whoever forgets it.

#include <optional>
#include <string>
#include <vector>

#include "mqd/wire/admin.hpp"
#include "mqd/wire/backup.hpp"
#include "mqd/wire/batch.hpp"
#include "mqd/wire/frame.hpp"
#include "mqd/wire/handle.hpp"
#include "mqd/wire/message_history.hpp"
#include "mqd/wire/message_move.hpp"
#include "mqd/wire/transact.hpp"

namespace mqd::wire::test {

// Calls `visit` with an empty frame of that type; false for a type that does not exist.
template <typename Visit>
bool with_frame_type(FrameType type, Visit&& visit) {
    switch (type) {
        case FrameType::hello: return visit(Hello{}), true;
        case FrameType::goodbye: return visit(Goodbye{}), true;
        case FrameType::ping: return visit(Ping{}), true;
        case FrameType::open_producer: return visit(OpenProducer{}), true;
        case FrameType::open_consumer: return visit(OpenConsumer{}), true;
        case FrameType::close_handle: return visit(CloseHandle{}), true;
        case FrameType::publish: return visit(Publish{}), true;
        case FrameType::resume: return visit(Resume{}), true;
        case FrameType::credit: return visit(Credit{}), true;
        case FrameType::ack: return visit(Ack{}), true;
        case FrameType::nack: return visit(Nack{}), true;
        case FrameType::extend: return visit(Extend{}), true;
        case FrameType::transact: return visit(Transact{}), true;
        case FrameType::queue_create: return visit(QueueCreate{}), true;
        case FrameType::queue_update: return visit(QueueUpdate{}), true;
        case FrameType::queue_delete: return visit(QueueDelete{}), true;
        case FrameType::queue_purge: return visit(QueuePurge{}), true;
        case FrameType::queue_undo: return visit(QueueUndo{}), true;
        case FrameType::messages_delete: return visit(MessagesDelete{}), true;
        case FrameType::messages_move: return visit(MessagesMove{}), true;
        case FrameType::message_history: return visit(MessageHistory{}), true;
        case FrameType::queue_list: return visit(QueueList{}), true;
        case FrameType::queue_show: return visit(QueueShow{}), true;
        case FrameType::peek: return visit(Peek{}), true;
        case FrameType::status: return visit(Status{}), true;
        case FrameType::backup: return visit(Backup{}), true;
        case FrameType::backup_next: return visit(BackupNext{}), true;
        case FrameType::welcome: return visit(Welcome{}), true;
        case FrameType::goodbye_reply: return visit(GoodbyeReply{}), true;
        case FrameType::pong: return visit(Pong{}), true;
        case FrameType::opened: return visit(Opened{}), true;
        case FrameType::closed: return visit(Closed{}), true;
        case FrameType::confirm: return visit(Confirm{}), true;
        case FrameType::refuse: return visit(Refuse{}), true;
        case FrameType::deliver: return visit(Deliver{}), true;
        case FrameType::settled: return visit(Settled{}), true;
        case FrameType::lease_lost: return visit(LeaseLost{}), true;
        case FrameType::consumer_active: return visit(ConsumerActive{}), true;
        case FrameType::transacted: return visit(Transacted{}), true;
        case FrameType::queue_info: return visit(QueueInfo{}), true;
        case FrameType::done: return visit(Done{}), true;
        case FrameType::queue_list_reply: return visit(QueueListReply{}), true;
        case FrameType::peek_reply: return visit(PeekReply{}), true;
        case FrameType::status_reply: return visit(StatusReply{}), true;
        case FrameType::backup_reply: return visit(BackupReply{}), true;
        case FrameType::backup_part: return visit(BackupPart{}), true;
        case FrameType::message_history_reply: return visit(MessageHistoryReply{}), true;
        case FrameType::error: return visit(ErrorFrame{}), true;
    }
    return false;
}

// All types, in order of number.
inline std::vector<FrameType> all_frame_types() {
    std::vector<FrameType> types;
    for (int value = 0; value <= 0xFF; ++value) {
        const auto type = static_cast<FrameType>(value);
        if (with_frame_type(type, [](const auto&) {})) {
            types.push_back(type);
        }
    }
    return types;
}

inline void encode_ranges(Writer& writer, const RangeList& list) {
    std::vector<MessageRange> ranges;
    for (std::size_t i = 0; i < list.size(); ++i) {
        ranges.push_back(list[i]);
    }
    RangeList::encode(writer, ranges);
}

// The body of a decoded frame, written again. ACK and its like have no encoder of their own: both
// sides write them from the ranges that they have.
template <typename Frame>
std::vector<std::byte> encode_body(const Frame& frame) {
    std::vector<std::byte> body;
    Writer writer(body);
    if constexpr (requires { frame.lease_ms, frame.ranges; }) {
        writer.number(frame.lease_ms);
        encode_ranges(writer, frame.ranges);
    } else if constexpr (requires { frame.delay_ms, frame.ranges; }) {
        writer.number(frame.delay_ms);
        encode_ranges(writer, frame.ranges);
        writer.string8(frame.reason);
    } else if constexpr (requires { frame.incarnation, frame.ranges; }) {
        writer.string8(frame.queue).number(frame.incarnation.value());
        if constexpr (requires { frame.target; }) {
            writer.string8(frame.target);
        }
        encode_ranges(writer, frame.ranges);
        if constexpr (requires { frame.for_good; }) {
            QueuePurge::encode_for_good(writer, frame.for_good);
        }
    } else if constexpr (requires { frame.ranges; }) {
        encode_ranges(writer, frame.ranges);
    } else {
        frame.encode(writer);
    }
    return body;
}

// Decodes a body and writes it again; nothing if the decoder refuses it or the type does not exist.
inline std::optional<std::vector<std::byte>> recode(FrameType type, Bytes body) {
    std::optional<std::vector<std::byte>> again;
    with_frame_type(type, [&again, body](const auto& empty) {
        const auto frame = empty.decode(body);
        if (frame) {
            again = encode_body(*frame);
        }
    });
    return again;
}

// What a frame says, field by field, as "name = value"; nothing if a decoder refuses it. The
// vectors are written in these words (describe.cpp).
std::optional<std::vector<std::string>> describe(Bytes frame);

}  // namespace mqd::wire::test
