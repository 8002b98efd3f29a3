// Any bytes as a stream of frames: every decoder and the batch checker must take or refuse them.
// What is taken must encode to something that is taken again, alike. The seeds are the vectors of
// tests/wire.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mqd/assert.hpp"
#include "wire/any_frame.hpp"

namespace {

using namespace mqd::wire;

constexpr std::uint32_t message_bytes_max = 1024;

// What the checker takes, the reader must read, message by message, to the same ends.
void check(Bytes batch, std::uint32_t count) {
    std::vector<std::uint32_t> ends(count);
    if (check_batch(batch, count, message_bytes_max, ends.data())) {
        return;
    }
    BatchReader reader(batch);
    std::size_t at = 0;
    for (const std::uint32_t end : ends) {
        const auto message = reader.next();
        MQD_ASSERT(message.has_value());
        MQD_ASSERT(message->body.size() <= message_bytes_max);
        at += message_header_bytes + message->attributes.size() + message->body.size();
        MQD_ASSERT(at == end, at, end);
        AttributeSet seen;
        MQD_ASSERT(!check_attributes(message->attributes, Author::client, seen).has_value());
        (void)decode_times(message->attributes);
    }
    MQD_ASSERT(!reader.next().has_value());
    MQD_ASSERT(reader.ok());
}

void decode(const FrameHeader& header, Bytes body) {
    const auto once = test::recode(header.type, body);
    if (!once) {
        return;
    }
    const auto twice = test::recode(header.type, *once);
    MQD_ASSERT(twice == once, header.type);
    if (header.type == FrameType::publish) {
        const auto publish = Publish::decode(body);
        check(publish->batch, publish->count);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Bytes rest = std::as_bytes(std::span(data, size));
    while (rest.size() >= frame_header_bytes) {
        const FrameHeader header = decode_frame_header(rest.data());
        rest = rest.subspan(frame_header_bytes);
        const std::size_t take = std::min<std::size_t>(header.body_bytes, rest.size());
        // A copy that ends where the body ends: the sanitizer sees a byte read too far.
        const std::vector<std::byte> body(rest.begin(),
                                          rest.begin() + static_cast<std::ptrdiff_t>(take));
        decode(header, body);
        rest = rest.subspan(take);
    }
    return 0;
}
