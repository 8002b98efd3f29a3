// The decoders are total: whatever comes in gives a frame or nothing, and never reads past its end
// (the sanitizers watch: every buffer here ends where its vector ends).

#include "mqd/wire/frame.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "wire/any_frame.hpp"
#include "wire/random.hpp"
#include "wire/vector_file.hpp"

using namespace mqd;
using namespace mqd::wire;
using namespace mqd::wire::test;

namespace {

// A copy of its own size, so that a read past the end is a read past the allocation.
std::vector<std::byte> copy_of(Bytes bytes) {
    return {bytes.begin(), bytes.end()};
}

FrameType type_of(const VectorFile& vector) {
    return decode_frame_header(vector.bytes.data()).type;
}

std::vector<std::byte> body_of(const VectorFile& vector) {
    return copy_of(Bytes(vector.bytes).subspan(frame_header_bytes));
}

// Frames whose last field takes all that is left: a batch, or the payload of a PING.
bool takes_the_rest(FrameType type) {
    return type == FrameType::publish || type == FrameType::deliver || type == FrameType::ping ||
           type == FrameType::pong || type == FrameType::backup_part;
}

// Frames that ended earlier in the first release: that end is one more place where they may.
bool grew_since_the_first_release(FrameType type) {
    return type == FrameType::nack || type == FrameType::queue_info ||
           type == FrameType::open_consumer || type == FrameType::opened;
}

// Fields at the end that are there only with a name, and with a time to wait behind it: without
// one, the body ends before them.
bool mentions(const VectorFile& vector, std::string_view word) {
    return vector.name.find(word) != std::string::npos;
}
int optional_fields(const VectorFile& vector) {
    return (mentions(vector, "_named") ? 1 : 0) + (mentions(vector, "_wait_ms") ? 1 : 0);
}
bool ends_before_a_field(const VectorFile& vector) {
    const FrameType type = type_of(vector);
    return (type == FrameType::open_producer && !mentions(vector, "_wait_ms")) ||
           (type == FrameType::opened && optional_fields(vector) == 0);
}

// Frames of which the last fields may be left out, whole. What lies behind them is unknown only
// where they are there.
bool has_optional_end(FrameType type) {
    return type == FrameType::peek || type == FrameType::done || type == FrameType::queue_purge ||
           type == FrameType::messages_delete;
}
bool has_its_end(const VectorFile& vector) {
    return vector.name == "peek_filter.txt" || vector.name == "done_kept.txt" ||
           vector.name.ends_with("_for_good.txt");
}

int optional_ends(const VectorFile& vector) {
    return (has_its_end(vector) ? 1 : 0) + (vector.name.starts_with("done_") ? 1 : 0);
}

}  // namespace

TEST_CASE("frames: a body cut anywhere is refused, or says what is left of it") {
    for (const VectorFile& vector : all_vectors()) {
        CAPTURE(vector.name);
        const auto body = body_of(vector);
        int earlier_ends = 0;
        for (std::size_t size = 0; size < body.size(); ++size) {
            CAPTURE(size);
            const auto cut = copy_of(Bytes(body).first(size));
            const auto again = recode(type_of(vector), cut);
            if (takes_the_rest(type_of(vector))) {
                CHECK((!again || *again == cut));
            } else if (again && has_optional_end(type_of(vector))) {
                ++earlier_ends;  // a field that says nothing is not written again
                CHECK(std::equal(again->begin(), again->end(), cut.begin()));
            } else if (again) {
                ++earlier_ends;
                REQUIRE(again->size() >= size);
                CHECK(std::equal(cut.begin(), cut.end(), again->begin()));
            }
        }
        const int grew = grew_since_the_first_release(type_of(vector)) ? 1 : 0;
        CHECK(earlier_ends == grew + optional_ends(vector) + optional_fields(vector));
    }
}

TEST_CASE("frames: unknown bytes behind the known fields are ignored") {
    const auto seed = RandomBytes::new_seed();
    CAPTURE(seed);
    RandomBytes random(seed);
    for (const VectorFile& vector : all_vectors()) {
        if (takes_the_rest(type_of(vector)) || ends_before_a_field(vector) ||
            (has_optional_end(type_of(vector)) && !has_its_end(vector))) {
            continue;
        }
        CAPTURE(vector.name);
        const auto body = body_of(vector);
        auto longer = body;
        const auto more = random.bytes(1 + random.below(40));
        longer.insert(longer.end(), more.begin(), more.end());
        const auto again = recode(type_of(vector), longer);
        REQUIRE(again.has_value());
        CHECK(*again == body);
    }
}

TEST_CASE("frames: random bytes are decoded or refused") {
    const auto seed = RandomBytes::new_seed();
    CAPTURE(seed);
    RandomBytes random(seed);
    for (const FrameType type : all_frame_types()) {
        for (int i = 0; i < 300; ++i) {
            const auto again = recode(type, random.bytes(random.below(120)));
            // What was understood once is understood again.
            CHECK((!again || recode(type, *again) == again));
        }
    }
}

TEST_CASE("frames: a vector with changed bytes is decoded or refused") {
    const auto seed = RandomBytes::new_seed();
    CAPTURE(seed);
    RandomBytes random(seed);
    for (const VectorFile& vector : all_vectors()) {
        for (int i = 0; i < 200; ++i) {
            auto bytes = copy_of(vector.bytes);
            for (std::size_t n = 1 + random.below(3); n > 0; --n) {
                bytes[random.below(bytes.size())] = random.bytes(1)[0];
            }
            (void)describe(bytes);
        }
    }
}

TEST_CASE("frames: any sixteen bytes are a header, and give themselves back") {
    FrameHeader header;
    header.body_bytes = 0xFFFFFFFF;
    header.type = static_cast<FrameType>(0x7E);
    header.flags = 0xA5;
    header.correlation = CorrelationId(0x01020304);
    header.handle = HandleId(0xFFFFFFFE);
    std::vector<std::byte> bytes(frame_header_bytes);
    encode_frame_header(bytes.data(), header);
    const FrameHeader again = decode_frame_header(bytes.data());
    CHECK(again.body_bytes == header.body_bytes);
    CHECK(again.type == header.type);
    CHECK(again.flags == header.flags);
    CHECK(again.correlation == header.correlation);
    CHECK(again.handle == header.handle);
    CHECK(!recode(header.type, {}).has_value());
}

TEST_CASE("frames: lists of ranges are taken at the maximum and refused one beyond") {
    std::vector<MessageRange> ranges(ranges_max, {MessageNumber(1), 1});
    std::vector<std::byte> body;
    Writer writer(body);
    writer.number(std::uint32_t{0});
    RangeList::encode(writer, ranges);
    const auto most = Ack::decode(body);
    REQUIRE(most.has_value());
    CHECK(most->ranges.size() == ranges_max);

    store(body.data() + 4, static_cast<std::uint32_t>(ranges_max + 1));
    body.resize(body.size() + RangeList::entry_bytes);
    CHECK(!Ack::decode(body).has_value());
    store(body.data() + 4, std::uint32_t{0xFFFFFFFF});
    CHECK(!Ack::decode(body).has_value());
}

TEST_CASE("frames: counts that no body can hold are refused and reserve nothing") {
    std::vector<std::byte> body;
    Writer(body).number(std::uint32_t{0xFFFFFFFF});
    CHECK(!StatusReply::decode(body).has_value());
    CHECK(!LeaseLost::decode(body).has_value());

    body.clear();
    Writer(body).number(std::uint8_t{0}).number(std::uint32_t{0xFFFFFFFF});
    CHECK(!QueueListReply::decode(body).has_value());

    body.clear();
    Writer(body).number(std::uint64_t{1}).number(std::uint8_t{0}).number(std::uint32_t{0xFFFFFFFF});
    CHECK(!PeekReply::decode(body).has_value());

    body.clear();
    Confirm confirm;
    Writer writer(body);
    confirm.encode(writer);
    store(body.data() + body.size() - 4, std::uint32_t{0xFFFFFFFF});
    CHECK(!Confirm::decode(body).has_value());
}

TEST_CASE("frames: PUBLISH takes 1 to batch_messages_max messages, and durabilities that exist") {
    const auto taken = [](std::uint32_t count, std::uint8_t durability) {
        std::vector<std::byte> body;
        Writer(body).number(std::uint64_t{1}).number(count).number(durability);
        body.resize(Publish::fixed_bytes);
        return Publish::decode(body).has_value();
    };
    CHECK(!taken(0, 0));
    CHECK(taken(1, 0));
    CHECK(taken(batch_messages_max, 3));
    CHECK(!taken(batch_messages_max + 1, 0));
    CHECK(!taken(1, 4));
    CHECK(!taken(1, 255));
}

TEST_CASE("frames: PING carries as much as it may and no more") {
    const std::vector<std::byte> most(ping_bytes_max);
    const std::vector<std::byte> more(ping_bytes_max + 1);
    CHECK(Ping::decode(most).has_value());
    CHECK(!Ping::decode(more).has_value());
    CHECK(Pong::decode(most).has_value());
    CHECK(!Pong::decode(more).has_value());
}

TEST_CASE("frames: QUEUE_CREATE names the first option that it does not know") {
    const auto decode = [](std::uint16_t id) {
        std::vector<std::byte> body;
        Writer writer(body);
        writer.string8("q").number(std::uint16_t{3});
        writer.number(id).number(std::uint16_t{2}).number(std::uint16_t{7});
        writer.number(std::uint16_t{99}).number(std::uint16_t{0});
        writer.number(std::uint16_t{2}).number(std::uint16_t{4}).number(std::uint32_t{1000});
        return QueueCreate::decode(body);
    };
    const auto frame = decode(77);
    REQUIRE(frame.has_value());
    CHECK(frame->options.unknown_id == 77);
    CHECK(frame->options.lease_ms == 1000);
    CHECK(!decode(2).has_value());  // lease_ms in two bytes
}

TEST_CASE("frames: the delays of a queue are whole numbers of four bytes") {
    const auto decode = [](std::size_t value_bytes) {
        std::vector<std::byte> body;
        Writer writer(body);
        writer.string8("q").number(std::uint16_t{1}).number(std::uint16_t{8});
        writer.number(static_cast<std::uint16_t>(value_bytes));
        writer.bytes(std::vector<std::byte>(value_bytes));
        return QueueUpdate::decode(body);
    };
    for (const std::size_t delays : {0u, 1u, 32u, 33u}) {  // too many are for the daemon to refuse
        const auto frame = decode(delays * 4);
        REQUIRE(frame.has_value());
        CHECK(frame->options.retry->size() == delays);
    }
    for (const std::size_t bytes : {1u, 3u, 5u, 7u, 131u}) {
        CHECK(!decode(bytes).has_value());
    }
}

TEST_CASE("frames: what is paused says what it means") {
    unsigned sound = 0;
    for (unsigned bits = 0; bits < 256; ++bits) {
        CAPTURE(bits);
        const auto paused = Paused::from_bits(static_cast<std::uint8_t>(bits));
        sound += paused ? 1 : 0;
        if (paused) {
            CHECK(paused->bits() == bits);
        }
    }
    CHECK(sound == 9);  // yes, no and nothing, of each
    CHECK(Paused{true, {}}.bits() == 0x11);
    CHECK(Paused{{}, false}.bits() == 0x20);
}

TEST_CASE("frames: QUEUE_INFO of the first daemons ends behind the producers") {
    QueueInfo info;
    info.queue = "q";
    info.producers = 5;
    info.dying = 7;
    info.options.max_attempts = 16;
    const auto body = encode_body(info);
    const auto whole = QueueInfo::decode(body);
    REQUIRE(whole.has_value());
    CHECK(whole->dying == 7);
    CHECK(whole->options.max_attempts == 16);

    constexpr std::size_t levels_bytes = 1;
    const std::size_t first_bytes = body.size() - sizeof info.dying - sizeof info.delayed - 2 -
                                    (4 + 4) - sizeof info.held - sizeof info.expired -
                                    levels_bytes - sizeof info.duplicates - sizeof info.purged -
                                    sizeof(std::int64_t);
    const auto first = QueueInfo::decode(Bytes(body).first(first_bytes));
    REQUIRE(first.has_value());
    CHECK(first->producers == 5);
    CHECK(first->dying == 0);
    CHECK(!first->options.max_attempts.has_value());
    CHECK(!QueueInfo::decode(Bytes(body).first(first_bytes + 1)).has_value());
}

TEST_CASE("frames: NACK without a reason is taken, and one that is cut is not") {
    const std::vector<MessageRange> ranges{{MessageNumber(1), 2}};
    const std::string longest(255, 'r');
    std::vector<std::byte> frame;
    append_settle(frame, FrameType::nack, {0, ranges, longest}, {}, HandleId(1), 0);
    const Bytes body = Bytes(frame).subspan(frame_header_bytes);
    const auto whole = Nack::decode(body);
    REQUIRE(whole.has_value());
    CHECK(whole->reason == longest);

    const auto first = Nack::decode(body.first(body.size() - 1 - longest.size()));
    REQUIRE(first.has_value());  // the first clients ended here
    CHECK(first->reason.empty());
    CHECK(first->ranges[0] == ranges[0]);
    CHECK(!Nack::decode(body.first(body.size() - 1)).has_value());
}

TEST_CASE("frames: OPEN_CONSUMER and OPENED of the first release say nothing of sharing") {
    OpenConsumer open;
    open.queue = "q";
    open.sharing = Sharing::single_active;
    const auto asked = encode_body(open);
    CHECK(OpenConsumer::decode(asked)->sharing == Sharing::single_active);
    CHECK(OpenConsumer::decode(Bytes(asked).first(asked.size() - 1))->sharing == Sharing::shared);

    Opened opened;
    opened.turn = Turn::waiting;
    const auto answer = encode_body(opened);
    CHECK(Opened::decode(answer)->turn == Turn::waiting);
    CHECK(Opened::decode(Bytes(answer).first(answer.size() - 1))->turn == Turn::unsaid);
}

TEST_CASE("frames: the names of queues are bounded in length and letters") {
    CHECK(valid_queue_name("a"));
    CHECK(valid_queue_name("Orders_2024.eu-west"));
    CHECK(valid_queue_name("_x"));
    CHECK(valid_queue_name("0"));
    CHECK(valid_queue_name(std::string(queue_name_bytes_max, 'x')));
    CHECK(!valid_queue_name(std::string(queue_name_bytes_max + 1, 'x')));
    CHECK(!valid_queue_name(""));
    CHECK(!valid_queue_name(".a"));
    CHECK(!valid_queue_name("-a"));
    for (int c = 0; c < 256; ++c) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                            (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        CAPTURE(c);
        CHECK(valid_queue_name(std::string("a") + static_cast<char>(c)) == letter);
    }
}

TEST_CASE("errors: codes from 100 on close the connection, and every code has a name") {
    CHECK(!closes_connection(ErrorCode::unknown_frame));
    CHECK(!closes_connection(ErrorCode::queue_full));
    CHECK(!closes_connection(ErrorCode::queue_paused));
    CHECK(closes_connection(ErrorCode::protocol_violation));
    CHECK(closes_connection(ErrorCode::output_overflow));
    CHECK(!closes_connection(ErrorCode::io_error));
    CHECK(error_name(ErrorCode::credit_exceeded) == "credit_exceeded");
    CHECK(error_name(static_cast<ErrorCode>(999)) == "unknown_error");
}
