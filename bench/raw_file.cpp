#include "bench/raw_file.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "bench/failure.hpp"

namespace mqd::bench {

namespace {

constexpr std::size_t block_bytes = 4096;
constexpr int gauge_syncs = 9;

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};
using AlignedBytes = std::unique_ptr<void, Free>;

AlignedBytes make_aligned(std::size_t bytes) {
    AlignedBytes memory(std::aligned_alloc(block_bytes, bytes));
    if (memory == nullptr) {
        fail("out of memory");
    }
    std::fill_n(static_cast<char*>(memory.get()), bytes, 'x');
    return memory;
}

Descriptor prepare(const std::string& path, const RawFileOptions& options) {
    const std::size_t bytes = options.append_bytes * static_cast<std::size_t>(options.appends);
    Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (file.get() < 0) {
        fail_errno("creating " + path);
    }
    switch (options.preparation) {
        case FilePreparation::growing: break;
        case FilePreparation::allocated:
            if (::posix_fallocate(file.get(), 0, static_cast<off_t>(bytes)) != 0) {
                fail_errno("allocating " + path);
            }
            break;
        case FilePreparation::zero_filled:
        case FilePreparation::zero_filled_direct: zero_fill(file.get(), bytes); break;
    }
    if (::fsync(file.get()) != 0) {
        fail_errno("fsync of " + path);
    }
    if (options.preparation == FilePreparation::zero_filled_direct) {
        file = Descriptor(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
        if (file.get() < 0) {
            fail_errno("opening " + path + " for direct writing");
        }
    }
    return file;
}

// Writes and syncs; the time that it took.
std::int64_t append_ns(int file, const void* memory, std::size_t bytes, std::size_t offset) {
    const std::int64_t begin = now_ns();
    if (::pwrite(file, memory, bytes, static_cast<off_t>(offset)) != static_cast<ssize_t>(bytes) ||
        ::fdatasync(file) != 0) {
        fail_errno("appending");
    }
    return now_ns() - begin;
}

}  // namespace

void zero_fill(int file, std::size_t bytes) {
    const std::vector<std::byte> zeros(1024 * 1024);
    for (std::size_t at = 0; at < bytes;) {
        const std::size_t piece = std::min(zeros.size(), bytes - at);
        if (::pwrite(file, zeros.data(), piece, static_cast<off_t>(at)) !=
            static_cast<ssize_t>(piece)) {
            fail_errno("zero-filling");
        }
        at += piece;
    }
    if (::fsync(file) != 0) {
        fail_errno("fsync");
    }
}

Result<Figures> measure_raw_file(const RawFileOptions& options) {
    const std::string path = options.folder + "/raw_file";
    const Descriptor file = prepare(path, options);
    const AlignedBytes memory = make_aligned(options.append_bytes);
    LatencySamples latencies(static_cast<std::size_t>(options.appends));
    for (int i = 0; i < options.appends; ++i) {
        latencies.add(append_ns(file.get(), memory.get(), options.append_bytes,
                                static_cast<std::size_t>(i) * options.append_bytes));
    }
    (void)::unlink(path.c_str());
    const Percentiles percentiles = latencies.percentiles();
    Figures figures;
    figures["sync_p50_us"] = percentiles.p50_us;
    figures["sync_p99_us"] = percentiles.p99_us;
    figures["bytes_per_s"] = static_cast<double>(options.append_bytes) / percentiles.p50_us * 1e6;
    return figures;
}

DiskGauge::DiskGauge(const std::string& folder)
    : file_(::open(folder.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600)) {
    if (file_.get() < 0) {
        fail_errno("a file without a name in " + folder);
    }
    zero_fill(file_.get(), gauge_syncs * block_bytes);
}

double DiskGauge::sync_us() {
    const AlignedBytes memory = make_aligned(block_bytes);
    LatencySamples latencies(gauge_syncs);
    for (std::size_t i = 0; i < gauge_syncs; ++i) {
        latencies.add(append_ns(file_.get(), memory.get(), block_bytes, i * block_bytes));
    }
    const double now = latencies.percentiles().p50_us;
    best_us_ = best_us_ == 0 ? now : std::min(best_us_, now);
    return now;
}

}  // namespace mqd::bench
