#pragma once

// MQD_ASSERT: for our own bugs, never for bad input. Always on; prints the expression, the place
// and up to four values, and aborts. MQD_ASSERT(a <= b, a, b).

#include <cstdio>
#include <cstdlib>
#include <type_traits>

namespace mqd::detail {

template <typename T>
long long assert_value(const T& value) {
    if constexpr (std::is_convertible_v<T, long long> || std::is_enum_v<T>) {
        return static_cast<long long>(value);
    } else if constexpr (requires { value.value(); }) {
        return static_cast<long long>(value.value());
    } else {
        return 0;
    }
}

[[noreturn, gnu::cold, gnu::noinline]] inline void assert_failed(const char* expression,
                                                                 const char* file, int line) {
    std::fprintf(stderr, "mqd: assertion failed: %s at %s:%d\n", expression, file, line);
    std::abort();
}

template <typename... Values>
[[noreturn, gnu::cold, gnu::noinline]] void assert_failed(const char* expression, const char* file,
                                                          int line, const Values&... values) {
    std::fprintf(stderr, "mqd: values:");
    ((void)std::fprintf(stderr, " %lld", assert_value(values)), ...);
    std::fprintf(stderr, "\n");
    assert_failed(expression, file, line);
}

}  // namespace mqd::detail

#define MQD_ASSERT(expression, ...)                                            \
    do {                                                                       \
        if (!(expression)) [[unlikely]] {                                      \
            ::mqd::detail::assert_failed(#expression, __FILE__,                \
                                         __LINE__ __VA_OPT__(, ) __VA_ARGS__); \
        }                                                                      \
    } while (false)
