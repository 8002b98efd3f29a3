#pragma once

// The end of a bench process that cannot go on: a line on stderr and exit status 1. A benchmark has
// nothing to heal; its parent reports the contender as failed and goes on with the next.

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include <unistd.h>

namespace mqd::bench {

// _exit, since a forked child must not write its parent's buffered output a second time.
[[noreturn]] inline void fail(const std::string& what) {
    std::fprintf(stderr, "mqd-bench: %s\n", what.c_str());
    _exit(1);
}

[[noreturn]] inline void fail_errno(const std::string& what) {
    fail(what + ": " + std::strerror(errno));
}

}  // namespace mqd::bench
