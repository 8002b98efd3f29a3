#include "mqd/wire/batch.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "wire/random.hpp"

using namespace mqd;
using namespace mqd::wire;
using namespace mqd::wire::test;

namespace {

constexpr std::uint32_t body_max = 1024;

std::vector<std::byte> message(Bytes attributes, std::string_view body) {
    std::vector<std::byte> batch;
    append_message(batch, attributes, as_bytes(body));
    return batch;
}

std::vector<std::byte> attribute(std::uint16_t id, std::string_view value) {
    std::vector<std::byte> bytes;
    Writer writer(bytes);
    writer.number(id).number(static_cast<std::uint16_t>(value.size())).bytes(as_bytes(value));
    return bytes;
}

std::optional<ErrorCode> check(Bytes batch, std::uint32_t count = 1,
                               Author author = Author::client) {
    std::vector<std::uint32_t> ends(count);
    return check_batch(batch, count, body_max, ends.data(), author);
}

constexpr auto dead_letter_id = static_cast<std::uint16_t>(AttributeId::dead_letter);

// The value of the attribute.
std::string encoded(const DeadLetterView& dead) {
    std::vector<std::byte> bytes;
    Writer writer(bytes);
    encode_dead_letter(writer, dead);
    return std::string(as_text(bytes));
}

std::optional<DeadLetterView> decoded(std::string_view value) {
    return decode_dead_letter({dead_letter_id, false, as_bytes(value)});
}

}  // namespace

TEST_CASE("batch: what was appended is read, and the checker says where each message ends") {
    std::vector<std::byte> attributes;
    append_header(attributes, "type", "invoice");
    append_header(attributes, "type", "");
    std::vector<std::byte> batch;
    append_message(batch, attributes, as_bytes("one"));
    append_message(batch, {}, {});
    append_message(batch, {}, as_bytes(std::string(body_max, 'x')));

    std::vector<std::uint32_t> ends(3);
    CHECK(check_batch(batch, 3, body_max, ends.data()) == std::nullopt);
    const auto first = static_cast<std::uint32_t>(message_header_bytes + attributes.size() + 3);
    CHECK(ends == std::vector<std::uint32_t>{first, first + 8, first + 8 + 8 + body_max});

    BatchReader reader(batch);
    const auto one = reader.next();
    REQUIRE(one.has_value());
    CHECK(as_text(one->body) == "one");
    AttributeReader headers(one->attributes);
    const auto header = decode_header(headers.next().value());
    REQUIRE(header.has_value());
    CHECK(header->key == "type");
    CHECK(header->value == "invoice");
    CHECK(decode_header(headers.next().value())->value.empty());
    CHECK(!headers.next().has_value());
    CHECK(headers.ok());
    CHECK(reader.next()->body.empty());
    CHECK(reader.next()->body.size() == body_max);
    CHECK(!reader.next().has_value());
    CHECK(reader.ok());
}

TEST_CASE("batch: every run of whole messages out of a batch is a batch") {
    std::vector<std::byte> batch;
    for (const std::string body : {"a", "", "ccc", "dd"}) {
        append_message(batch, {}, as_bytes(body));
    }
    std::vector<std::uint32_t> ends(4);
    REQUIRE(check_batch(batch, 4, body_max, ends.data()) == std::nullopt);
    for (std::uint32_t from = 0; from < 4; ++from) {
        for (std::uint32_t to = from + 1; to <= 4; ++to) {
            const std::uint32_t begin = from == 0 ? 0 : ends[from - 1];
            const Bytes run = Bytes(batch).subspan(begin, ends[to - 1] - begin);
            CHECK(check(run, to - from) == std::nullopt);
        }
    }
}

TEST_CASE("batch: a body at the limit is taken, one byte more is refused") {
    CHECK(check(message({}, std::string(body_max, 'x'))) == std::nullopt);
    CHECK(check(message({}, std::string(body_max + 1, 'x'))) == ErrorCode::message_too_big);
}

TEST_CASE("batch: attributes of the greatest length are taken") {
    std::vector<std::byte> attributes;
    const std::size_t value = attributes_bytes_max - attribute_header_bytes - 2;
    append_header(attributes, "k", std::string(value, 'v'));
    REQUIRE(attributes.size() == attributes_bytes_max);
    CHECK(check(message(attributes, "x")) == std::nullopt);
}

TEST_CASE("batch: the number of messages is the one that the frame says") {
    auto batch = message({}, "one");
    append_message(batch, {}, as_bytes("two"));
    CHECK(check(batch, 2) == std::nullopt);
    CHECK(check(batch, 1) == ErrorCode::protocol_violation);
    CHECK(check(batch, 3) == ErrorCode::protocol_violation);
    CHECK(check({}, 1) == ErrorCode::protocol_violation);
    CHECK(check({}, 0) == std::nullopt);
}

TEST_CASE("batch: a cut batch is refused at every byte") {
    std::vector<std::byte> attributes;
    append_header(attributes, "key", "value");
    auto batch = message(attributes, "body");
    append_message(batch, attributes, as_bytes("more"));
    for (std::size_t size = 0; size < batch.size(); ++size) {
        CAPTURE(size);
        const std::vector<std::byte> cut(batch.begin(),
                                         batch.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(check(cut, 2) == ErrorCode::protocol_violation);
    }
    auto longer = batch;
    longer.push_back({});
    CHECK(check(longer, 2) == ErrorCode::protocol_violation);
}

TEST_CASE("batch: reserved bytes and lengths that lie are refused") {
    auto reserved = message({}, "x");
    reserved[6] = std::byte{1};
    CHECK(check(reserved) == ErrorCode::protocol_violation);

    auto longest = message({}, "x");
    store(longest.data(), std::uint32_t{0xFFFFFFFF});
    CHECK(check(longest) == ErrorCode::protocol_violation);

    auto attributes = message({}, "x");
    store(attributes.data() + 4, std::uint16_t{0xFFFF});
    CHECK(check(attributes) == ErrorCode::protocol_violation);
    BatchReader reader(attributes);
    CHECK(!reader.next().has_value());
    CHECK(!reader.ok());
}

TEST_CASE("batch: an unknown attribute is ignored, unless it is critical") {
    CHECK(check(message(attribute(99, "v"), "x")) == std::nullopt);
    CHECK(check(message(attribute(99 | critical_bit, "v"), "x")) == ErrorCode::unknown_attribute);
    CHECK(check(message(attribute(5 | critical_bit, "1234567"), "x")) ==
          ErrorCode::protocol_violation);
    CHECK(check(message(attribute(1 | critical_bit, "\x01kv"), "x")) == std::nullopt);
}

TEST_CASE("batch: when a message is to be delivered") {
    for (const std::uint16_t id : {std::uint16_t{3}, std::uint16_t{4}}) {
        for (const std::uint16_t bit : {std::uint16_t{0}, critical_bit}) {
            const auto batch = message(attribute(id | bit, "12345678"), "x");
            std::uint32_t end = 0;
            AttributeSet seen;
            CHECK(check_batch(batch, 1, body_max, &end, Author::client, seen) == std::nullopt);
            CHECK((seen.has(AttributeId::delay) || seen.has(AttributeId::due)));
            CHECK(check(message(attribute(id | bit, "1234567"), "x")) ==
                  ErrorCode::protocol_violation);
        }
    }
    const auto joined = [](std::vector<std::byte> first, const std::vector<std::byte>& second) {
        first.insert(first.end(), second.begin(), second.end());
        return first;
    };
    const auto delay = attribute(3, "12345678");
    const auto due = attribute(4, "12345678");
    CHECK(!decode_times(joined(delay, due)).has_value());
    CHECK(!decode_times(joined(due, due)).has_value());
    const auto times = decode_times(joined(attribute(1, "\x01kv"), delay));
    REQUIRE(times.has_value());
    CHECK(times->delay_ms == 0x3837363534333231);
    CHECK(!times->due_us.has_value());
}

TEST_CASE("batch: only the daemon says that a message is a dead letter") {
    for (const int critical : {0, static_cast<int>(critical_bit)}) {
        const auto id = static_cast<std::uint16_t>(dead_letter_id | critical);
        CHECK(check(message(attribute(id, "v"), "x")) == ErrorCode::unknown_attribute);
    }
    const auto said = message(attribute(dead_letter_id, "v"), "x");
    CHECK(check(said, 1, Author::daemon) == std::nullopt);
    const auto unknown = message(attribute(99 | critical_bit, "v"), "x");
    CHECK(check(unknown, 1, Author::daemon) == ErrorCode::unknown_attribute);
}

TEST_CASE("batch: a dead letter says what it was and why") {
    const DeadLetterView dead{DeadLetterCause::rejected,
                              7,
                              WallTime(std::chrono::microseconds(-5)),
                              WallTime(std::chrono::microseconds(1'700'000'000'000'000)),
                              QueueId(3),
                              MessageNumber(1842),
                              "orders",
                              "exit status 65"};
    const std::string value = encoded(dead);
    const auto again = decoded(value);
    REQUIRE(again.has_value());
    CHECK(again->cause == dead.cause);
    CHECK(again->attempts == dead.attempts);
    CHECK(again->first_failed == dead.first_failed);
    CHECK(again->last_failed == dead.last_failed);
    CHECK(again->incarnation == dead.incarnation);
    CHECK(again->number == dead.number);
    CHECK(again->queue == dead.queue);
    CHECK(again->reason == dead.reason);
    CHECK(decode_dead_letter({dead_letter_id + 1, false, as_bytes(value)}) == std::nullopt);

    // The reason is what is left: nothing in front of it may be missing.
    const std::size_t fixed = value.size() - dead.reason.size();
    for (std::size_t size = 0; size < fixed; ++size) {
        CAPTURE(size);
        CHECK(!decoded(value.substr(0, size)).has_value());
    }
    CHECK(decoded(value.substr(0, fixed))->reason.empty());
}

TEST_CASE("batch: malformed attributes are refused") {
    CHECK(check(message(attribute(1, ""), "x")) == ErrorCode::protocol_violation);
    CHECK(check(message(attribute(1, std::string_view("\0v", 2)), "x")) ==
          ErrorCode::protocol_violation);
    CHECK(check(message(attribute(1, "\x05key"), "x")) == ErrorCode::protocol_violation);
    auto cut = attribute(99, "value");
    cut.pop_back();
    CHECK(check(message(cut, "x")) == ErrorCode::protocol_violation);
    auto tail = attribute(99, "value");
    tail.resize(tail.size() + 3);
    CHECK(check(message(tail, "x")) == ErrorCode::protocol_violation);
}

TEST_CASE("batch: what the checker takes, the reader reads to the same ends") {
    const auto seed = RandomBytes::new_seed();
    CAPTURE(seed);
    RandomBytes random(seed);
    int taken = 0;
    for (int i = 0; i < 5000; ++i) {
        std::vector<std::byte> batch;
        const auto count = static_cast<std::uint32_t>(1 + random.below(4));
        for (std::uint32_t m = 0; m < count; ++m) {
            std::vector<std::byte> attributes;
            if (random.below(2) == 0) {
                append_header(attributes, "key", as_text(random.bytes(random.below(9))));
            }
            append_message(batch, attributes, random.bytes(random.below(20)));
        }
        if (random.below(2) == 0) {
            batch[random.below(batch.size())] = random.bytes(1)[0];
        }
        std::vector<std::uint32_t> ends(count);
        if (check_batch(batch, count, body_max, ends.data())) {
            continue;
        }
        ++taken;
        std::size_t at = 0;
        BatchReader reader(batch);
        for (const std::uint32_t end : ends) {
            const auto view = reader.next();
            REQUIRE(view.has_value());
            at += message_header_bytes + view->attributes.size() + view->body.size();
            CHECK(at == end);
        }
        CHECK((!reader.next().has_value() && reader.ok()));
    }
    CHECK(taken > 1000);
}
