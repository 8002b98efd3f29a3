#pragma once

// The Disk that the daemon runs on: one directory of a POSIX file system. Stateless but for the
// directory's descriptor, so any thread may call it; a File is one thread's at a time.
//
// For tests and measurements only: with MQD_TEST_SYNC_DELAY_MS in the environment when the disk is
// made, every sync of a file first sleeps so many milliseconds (at most 60,000), as a slow disk
// would.

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/storage/disk.hpp"

namespace mqd::storage {

class PosixDisk : public Disk {
  public:
    // The directory must exist. Error: io_error.
    static Result<std::unique_ptr<PosixDisk>> open(const std::string& directory);
    ~PosixDisk() override;
    PosixDisk(const PosixDisk&) = delete;
    PosixDisk& operator=(const PosixDisk&) = delete;

    Result<std::unique_ptr<File>> open(std::string_view name, OpenMode mode) override;
    Result<void> remove(std::string_view name) override;
    Result<void> link(std::string_view name, std::string_view new_name) override;
    Result<void> sync_directory() override;
    Result<std::vector<std::string>> list() override;
    Result<std::unique_ptr<DirectoryLock>> lock() override;
    Result<std::unique_ptr<DirectoryLock>> lock_to_look() override;
    std::string path(std::string_view name) const override;

  private:
    Result<std::unique_ptr<DirectoryLock>> lock(int flags);

    PosixDisk(std::string directory, int descriptor, std::chrono::milliseconds sync_delay);

    std::string directory_;
    int descriptor_;
    std::chrono::milliseconds sync_delay_;
};

}  // namespace mqd::storage
