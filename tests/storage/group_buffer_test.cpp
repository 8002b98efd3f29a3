#include "daemon/storage/group_buffer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

namespace mqd::storage {
namespace {

TEST_CASE("group buffer: it grows as far as it has to, and keeps what it holds") {
    GroupBuffer buffer;
    std::string expected;
    // By a little, by much more than it has, and by nothing.
    for (const std::size_t bytes : {10u, 70'000u, 0u, 500'000u, 1u}) {
        const std::string piece(bytes, static_cast<char>('a' + expected.size() % 26));
        buffer.append(std::as_bytes(std::span<const char>(piece)));
        expected += piece;
        REQUIRE(buffer.body_bytes() == expected.size());
        const auto body = buffer.body();
        CHECK(std::equal(body.begin(), body.end(), std::as_bytes(std::span(expected)).begin()));
    }
    const auto sealed = buffer.seal();
    CHECK(sealed.size() == buffer.file_bytes());
    CHECK(reinterpret_cast<std::uintptr_t>(sealed.data()) % block_bytes == 0);
    const auto padding = sealed.subspan(GroupBuffer::header_bytes + expected.size());
    CHECK(std::all_of(padding.begin(), padding.end(),
                      [](std::byte byte) { return byte == std::byte{0}; }));
}

}  // namespace
}  // namespace mqd::storage
