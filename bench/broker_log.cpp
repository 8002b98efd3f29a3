#include "bench/broker_log.hpp"

#include <array>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench/failure.hpp"
#include "bench/raw_file.hpp"

namespace mqd::bench {

namespace {

constexpr std::array<std::byte, BrokerLog::block_bytes> zeros{};

}  // namespace

BrokerLog::BrokerLog(const std::string& path)
    : file_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    if (file_.get() < 0) {
        fail_errno("creating " + path);
    }
    if (::lseek(file_.get(), 0, SEEK_END) != static_cast<off_t>(file_bytes)) {
        zero_fill(file_.get(), file_bytes);
    }
}

void BrokerLog::append(std::span<const std::byte> bytes) {
    const std::size_t padding = (block_bytes - bytes.size() % block_bytes) % block_bytes;
    const std::size_t group_bytes = bytes.size() + padding;
    if (offset_ + group_bytes > file_bytes) {
        offset_ = 0;
    }
    // writev takes its input as not const.
    const iovec parts[] = {{const_cast<std::byte*>(bytes.data()), bytes.size()},
                           {const_cast<std::byte*>(zeros.data()), padding}};
    if (::pwritev(file_.get(), parts, 2, static_cast<off_t>(offset_)) !=
        static_cast<ssize_t>(group_bytes)) {
        fail_errno("appending to the log");
    }
    offset_ += group_bytes;
}

void BrokerLog::sync() {
    if (::fdatasync(file_.get()) != 0) {
        fail_errno("fdatasync of the log");
    }
}

}  // namespace mqd::bench
