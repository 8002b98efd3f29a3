#pragma once

// A file that is made whole or not at all: written under another name beside it ("NAME.part."
// and six letters), synced, and given its name at the end. So a file of that name is complete, also
// after a crash; what a crash leaves is the other one.

#include <string>

#include "mqd/result.hpp"

namespace mqd::mqctl {

class NewFile {
  public:
    // Whether there may be a file of that name already, which is then replaced.
    enum class Existing { refused, replaced };

    // Does nothing but look at the arguments.
    NewFile(std::string path, Existing existing) : path_(std::move(path)), existing_(existing) {}
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;
    // Removes what has not got its name.
    ~NewFile();

    // Error: io_error; that there is a file already, or that what is there is none, so that it
    // cannot be replaced, is one.
    [[nodiscard]] Result<void> open();
    // To be written to, between open() and finish().
    [[nodiscard]] int descriptor() const { return descriptor_; }
    // Once all is written: the file is on the disk under its name. Error: io_error, and there is no
    // such file, or the one that was there before.
    [[nodiscard]] Result<void> finish();

    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    [[nodiscard]] Result<void> check_existing(unsigned& mode) const;
    [[nodiscard]] Result<void> give_name();

    std::string path_;
    Existing existing_;
    std::string temporary_path_;  // empty: there is none
    int descriptor_ = -1;
};

}  // namespace mqd::mqctl
