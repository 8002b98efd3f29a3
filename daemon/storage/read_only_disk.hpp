#pragma once

// A Disk that reads another one and refuses every change, for looking at a store that must stay as
// it is. All its files are opened for reading only, whatever the mode. As thread-safe as the other
// disk.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/storage/disk.hpp"

namespace mqd::storage {

class ReadOnlyDisk : public Disk {
  public:
    // `disk` outlives this and its files.
    explicit ReadOnlyDisk(Disk& disk) : disk_(disk) {}

    Result<std::unique_ptr<File>> open(std::string_view name, OpenMode mode) override;
    Result<void> remove(std::string_view name) override;
    Result<void> link(std::string_view name, std::string_view new_name) override;
    Result<void> sync_directory() override;
    Result<std::vector<std::string>> list() override { return disk_.list(); }
    Result<std::unique_ptr<DirectoryLock>> lock() override { return disk_.lock_to_look(); }
    std::string path(std::string_view name) const override { return disk_.path(name); }

  private:
    Disk& disk_;
};

}  // namespace mqd::storage
