// The documented bytes of every frame: they decode to the documented fields, and encode to the same
// bytes.

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "wire/any_frame.hpp"
#include "wire/vector_file.hpp"

using namespace mqd;
using namespace mqd::wire;
using namespace mqd::wire::test;

namespace {

FrameHeader header_of(const VectorFile& vector) {
    return decode_frame_header(vector.bytes.data());
}

Bytes body_of(const VectorFile& vector) {
    return Bytes(vector.bytes).subspan(frame_header_bytes);
}

}  // namespace

TEST_CASE("vectors: every frame type has at least one") {
    std::set<FrameType> seen;
    for (const VectorFile& vector : all_vectors()) {
        REQUIRE(vector.bytes.size() >= frame_header_bytes);
        seen.insert(header_of(vector).type);
    }
    for (const FrameType type : all_frame_types()) {
        CAPTURE(static_cast<int>(type));
        CHECK(seen.contains(type));
    }
}

TEST_CASE("vectors: the bytes mean what stands beside them") {
    for (const VectorFile& vector : all_vectors()) {
        CAPTURE(vector.name);
        const auto fields = describe(vector.bytes);
        REQUIRE(fields.has_value());
        REQUIRE(fields->size() == vector.fields.size());
        for (std::size_t i = 0; i < fields->size(); ++i) {
            CHECK((*fields)[i] == vector.fields[i]);
        }
    }
}

TEST_CASE("vectors: decoded and encoded they are the same bytes") {
    for (const VectorFile& vector : all_vectors()) {
        CAPTURE(vector.name);
        const FrameHeader header = header_of(vector);
        std::vector<std::byte> again(frame_header_bytes);
        encode_frame_header(again.data(), header);
        const auto body = recode(header.type, body_of(vector));
        REQUIRE(body.has_value());
        again.insert(again.end(), body->begin(), body->end());
        CHECK(again == vector.bytes);
    }
}

TEST_CASE("vectors: append_frame and append_settle write them") {
    std::vector<std::byte> out;
    append_frame(out, OpenProducer{"orders"}, CorrelationId(2), HandleId(1));
    CHECK(out == read_vector("tests/wire/vectors/open_producer.txt").bytes);

    out.clear();
    const std::vector<MessageRange> ranges{{MessageNumber(1842), 2}, {MessageNumber(1850), 1}};
    append_settle(out, FrameType::ack, {0, ranges}, CorrelationId(5), HandleId(2), flag_confirm);
    CHECK(out == read_vector("tests/wire/vectors/ack_confirm.txt").bytes);

    out.clear();
    const std::vector<MessageRange> one{{MessageNumber(1843), 1}};
    append_settle(out, FrameType::nack, {0, one, "exit status 65"}, CorrelationId(7), HandleId(2),
                  flag_confirm | flag_dead_letter);
    CHECK(out == read_vector("tests/wire/vectors/nack_dead_letter.txt").bytes);

    std::vector<std::byte> attributes;
    append_header(attributes, "type", "ping");
    std::vector<std::byte> batch;
    append_message(batch, {}, as_bytes("hello"));
    append_message(batch, attributes, {});
    out.clear();
    append_frame(out, Publish{LineNumber(1), 2, Durability::unspecified, batch}, {}, HandleId(1));
    CHECK(out == read_vector("tests/wire/vectors/publish.txt").bytes);
}

TEST_CASE("vectors: the fuzzer starts from the same frames") {
    for (const VectorFile& vector : all_vectors()) {
        CAPTURE(vector.name);
        const auto stem = std::filesystem::path(vector.name).stem().string();
        std::ifstream in("tests/fuzz/corpus/frame_codec/" + stem, std::ios::binary);
        const std::string seed{std::istreambuf_iterator<char>(in), {}};
        CHECK(seed == as_text(vector.bytes));
    }
}
