#include "storage/failing_calls.hpp"

#include <dirent.h>
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <string>

namespace mqd::storage::test {
namespace {

struct Planned {
    CallFate fate;
    int met = 0;
};
// Only of the thread that made them: what others call goes through.
thread_local std::map<std::string, Planned, std::less<>> planned;

// What the next call of that name has to do; null: nothing special.
const CallFate* next_fate(std::string_view name) {
    const auto at = planned.find(name);
    if (at == planned.end()) {
        return nullptr;
    }
    Planned& plan = at->second;
    if (plan.fate.after > 0) {
        --plan.fate.after;
        return nullptr;
    }
    if (plan.met == plan.fate.times) {
        return nullptr;
    }
    ++plan.met;
    return &plan.fate;
}

// True: the call fails, and errno says how.
bool fails(std::string_view name) {
    const CallFate* fate = next_fate(name);
    if (fate == nullptr || fate->os_errno == 0) {
        return false;
    }
    errno = fate->os_errno;
    return true;
}

// How many bytes the call takes; -1: it fails.
long bytes_taken(std::string_view name, std::size_t asked) {
    const long all = static_cast<long>(asked);
    const CallFate* fate = next_fate(name);
    if (fate == nullptr) {
        return all;
    }
    if (fate->os_errno != 0) {
        errno = fate->os_errno;
        return -1;
    }
    return fate->most < 0 ? all : std::min(all, fate->most);
}

}  // namespace

FailingCall::FailingCall(std::string_view name, CallFate fate) : name_(name) {
    const bool added = planned.try_emplace(std::string(name), Planned{fate}).second;
    REQUIRE(added);
}

FailingCall::~FailingCall() {
    planned.erase(planned.find(name_));
}

int FailingCall::met() const {
    return planned.find(name_)->second.met;
}

}  // namespace mqd::storage::test

// The names are the linker's.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" {

ssize_t __real_pread(int file, void* bytes, size_t count, off_t offset);
// What comes short is read whole, as O_DIRECT knows whole blocks only, and the rest of it spoiled.
ssize_t __wrap_pread(int file, void* bytes, size_t count, off_t offset) {
    const long taken = mqd::storage::test::bytes_taken("pread", count);
    const ssize_t read = taken < 0 ? -1 : __real_pread(file, bytes, count, offset);
    if (read <= taken) {
        return read;
    }
    std::memset(static_cast<char*>(bytes) + taken, 0xEE, static_cast<size_t>(read - taken));
    return taken;
}

ssize_t __real_pwrite(int file, const void* bytes, size_t count, off_t offset);
// What comes short is not written at all, so that the test sees where it went on.
ssize_t __wrap_pwrite(int file, const void* bytes, size_t count, off_t offset) {
    const long taken = mqd::storage::test::bytes_taken("pwrite", count);
    return taken < static_cast<long>(count) ? taken : __real_pwrite(file, bytes, count, offset);
}

int __real_openat(int folder, const char* name, int flags, unsigned mode);
int __wrap_openat(int folder, const char* name, int flags, unsigned mode) {
    return mqd::storage::test::fails("openat") ? -1 : __real_openat(folder, name, flags, mode);
}

int __real_fdatasync(int file);
int __wrap_fdatasync(int file) {
    return mqd::storage::test::fails("fdatasync") ? -1 : __real_fdatasync(file);
}

int __real_fsync(int file);
int __wrap_fsync(int file) {
    return mqd::storage::test::fails("fsync") ? -1 : __real_fsync(file);
}

int __real_fallocate(int file, int mode, off_t offset, off_t bytes);
int __wrap_fallocate(int file, int mode, off_t offset, off_t bytes) {
    return mqd::storage::test::fails("fallocate") ? -1
                                                  : __real_fallocate(file, mode, offset, bytes);
}

int __real_fstat(int file, struct stat* found);
int __wrap_fstat(int file, struct stat* found) {
    return mqd::storage::test::fails("fstat") ? -1 : __real_fstat(file, found);
}

int __real_flock(int file, int operation);
int __wrap_flock(int file, int operation) {
    return mqd::storage::test::fails("flock") ? -1 : __real_flock(file, operation);
}

DIR* __real_fdopendir(int file);
DIR* __wrap_fdopendir(int file) {
    return mqd::storage::test::fails("fdopendir") ? nullptr : __real_fdopendir(file);
}

dirent* __real_readdir(DIR* folder);
dirent* __wrap_readdir(DIR* folder) {
    return mqd::storage::test::fails("readdir") ? nullptr : __real_readdir(folder);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
