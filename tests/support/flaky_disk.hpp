#pragma once

// A Disk over another one, of which the n-th call fails, whatever it is: each call that a piece of
// code makes can be made to fail in turn, without knowing which they are.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "daemon/storage/disk.hpp"

namespace mqd::test {

class FlakyDisk : public storage::Disk {
  public:
    // `below` outlives it. The call number `failing`, from 1 on, fails; 0: none.
    FlakyDisk(storage::Disk& below, std::uint64_t failing, int os_errno)
        : below_(below), failing_(failing), os_errno_(os_errno) {}

    // Whether that call came.
    [[nodiscard]] bool failed() const { return failing_ > 0 && calls_ >= failing_; }

    Result<std::unique_ptr<storage::File>> open(std::string_view name,
                                                storage::OpenMode mode) override {
        if (auto passed = pass(name); !passed) {
            return passed.error();
        }
        auto file = below_.open(name, mode);
        if (!file) {
            return file.error();
        }
        return std::unique_ptr<storage::File>(
            std::make_unique<FlakyFile>(*this, std::move(*file), std::string(name)));
    }
    Result<void> remove(std::string_view name) override {
        auto passed = pass(name);
        return passed ? below_.remove(name) : passed;
    }
    Result<void> link(std::string_view name, std::string_view new_name) override {
        auto passed = pass(new_name);
        return passed ? below_.link(name, new_name) : passed;
    }
    Result<void> sync_directory() override {
        auto passed = pass("");
        return passed ? below_.sync_directory() : passed;
    }
    Result<std::vector<std::string>> list() override {
        if (auto passed = pass(""); !passed) {
            return passed.error();
        }
        return below_.list();
    }
    Result<std::unique_ptr<storage::DirectoryLock>> lock() override { return below_.lock(); }
    [[nodiscard]] std::string path(std::string_view name) const override {
        return below_.path(name);
    }

  private:
    class FlakyFile : public storage::File {
      public:
        FlakyFile(FlakyDisk& disk, std::unique_ptr<storage::File> file, std::string name)
            : disk_(disk), file_(std::move(file)), name_(std::move(name)) {}

        Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
            auto passed = disk_.pass(name_);
            return passed ? file_->write(offset, bytes) : passed;
        }
        Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> bytes) override {
            if (auto passed = disk_.pass(name_); !passed) {
                return passed.error();
            }
            return file_->read(offset, bytes);
        }
        Result<void> sync() override {
            auto passed = disk_.pass(name_);
            return passed ? file_->sync() : passed;
        }
        Result<void> allocate(std::uint64_t bytes) override {
            auto passed = disk_.pass(name_);
            return passed ? file_->allocate(bytes) : passed;
        }
        Result<std::uint64_t> size() override {
            if (auto passed = disk_.pass(name_); !passed) {
                return passed.error();
            }
            return file_->size();
        }

      private:
        FlakyDisk& disk_;
        std::unique_ptr<storage::File> file_;
        std::string name_;
    };

    Result<void> pass(std::string_view name) {
        if (++calls_ != failing_) {
            return {};
        }
        Error error;
        error.code = ErrorCode::io_error;
        error.os_errno = os_errno_;
        error.text = "call " + std::to_string(calls_) + " fails: " + path(name);
        return error;
    }

    storage::Disk& below_;
    std::uint64_t failing_;
    int os_errno_;
    std::uint64_t calls_ = 0;
};

}  // namespace mqd::test
