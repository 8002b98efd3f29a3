#pragma once

// Asks for memory that is looked at soon, so that many are on their way at once.

namespace mqd::engine {

inline void prefetch(const void* at) {
    // A compiler may take what only prefetches for something without effect, and drop the call.
    asm volatile("" : : "r"(at));  // NOLINT(hicpp-no-assembler)
    __builtin_prefetch(at);
}

}  // namespace mqd::engine
