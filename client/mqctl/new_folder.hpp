#pragma once

// A folder of files that is made whole or not at all: filled under another name beside it
// ("NAME.partial"), synced, and given its name at the end. So a folder of that name is complete,
// also after a crash; what a crash leaves is the other one. Only its owner may look into it.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "mqd/result.hpp"

namespace mqd::mqctl {

class NewFolder {
  public:
    // Does nothing but look at the argument.
    explicit NewFolder(std::string path);
    NewFolder(const NewFolder&) = delete;
    NewFolder& operator=(const NewFolder&) = delete;
    // Removes what has not got its name.
    ~NewFolder();

    // Error: io_error; that something of that name, or of the other, is there already is one.
    [[nodiscard]] Result<void> open();
    // One file after the other. `name` has no '/'. Errors: io_error; no_space; that there is a file
    // of that name is one.
    [[nodiscard]] Result<void> begin_file(const std::string& name);
    [[nodiscard]] Result<void> append(std::span<const std::byte> bytes);
    [[nodiscard]] Result<void> end_file();  // it is on the disk
    // Once all is written: the folder is on the disk under its name. Error: io_error, and there is
    // none.
    [[nodiscard]] Result<void> finish();

    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    [[nodiscard]] Error file_error(const std::string& what, int reason) const;
    void remove();

    std::string path_;
    std::string temporary_path_;
    bool made_ = false;
    int folder_ = -1;
    int file_ = -1;
    std::vector<std::string> names_;
};

}  // namespace mqd::mqctl
