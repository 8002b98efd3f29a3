#pragma once

// What the disk alone can do: append and fdatasync, with nothing around them. Growing a file makes
// the sync wait for the file system's metadata; a file that is allocated still has to mark
// its blocks as written; a file that is zero-filled beforehand needs neither.

#include <cstddef>
#include <string>

#include "bench/load.hpp"

namespace mqd::bench {

enum class FilePreparation { growing, allocated, zero_filled, zero_filled_direct };

struct RawFileOptions {
    std::string folder;  // gets a file, which is removed
    FilePreparation preparation = FilePreparation::growing;
    std::size_t append_bytes = 0;
    int appends = 0;
};

// sync_p50_us and bytes_per_s.
[[nodiscard]] Result<Figures> measure_raw_file(const RawFileOptions& options);

void zero_fill(int file, std::size_t bytes);

// Some disks, those of rented machines above all, serve a burst and are slow from then on until
// they have recovered. The gauge tells how slow the disk is now, by a few syncs.
class DiskGauge {
  public:
    explicit DiskGauge(const std::string& folder);

    // Median time of a 4 KiB write and its sync, now.
    [[nodiscard]] double sync_us();
    // The shortest that sync_us() ever returned.
    [[nodiscard]] double best_us() const { return best_us_; }

  private:
    Descriptor file_;
    double best_us_ = 0;
};

}  // namespace mqd::bench
