#pragma once

// The log of the bare broker: a file that is zero-filled beforehand, to which groups of whole 4 KiB
// blocks are appended, and which begins anew when it is full. Nothing reads it.

#include <cstddef>
#include <span>
#include <string>

#include "bench/socket.hpp"

namespace mqd::bench {

class BrokerLog {
  public:
    static constexpr std::size_t block_bytes = 4096;
    static constexpr std::size_t file_bytes = 32 * 1024 * 1024;

    // Takes a file that an earlier broker has filled as it is: filling costs disks that are metered
    // more than the load does.
    explicit BrokerLog(const std::string& path);

    // Writes `bytes` (at most file_bytes) as one group.
    void append(std::span<const std::byte> bytes);
    void sync();

  private:
    Descriptor file_;
    std::size_t offset_ = 0;  // in the file, a multiple of block_bytes
};

}  // namespace mqd::bench
