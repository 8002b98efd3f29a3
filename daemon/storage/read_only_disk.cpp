#include "daemon/storage/read_only_disk.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/storage/block_memory.hpp"

namespace mqd::storage {

namespace {

Error refused(const std::string& path) {
    Error error;
    error.code = ErrorCode::io_error;
    error.text = "cannot change " + path + ": it is only looked at";
    error.os_errno = EROFS;
    return error;
}

class ReadOnlyFile : public File {
  public:
    ReadOnlyFile(std::unique_ptr<File> file, std::string path)
        : file_(std::move(file)), path_(std::move(path)) {}

    Result<void> write(std::uint64_t, std::span<const std::byte>) override {
        return refused(path_);
    }
    Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> bytes) override;
    Result<void> sync() override { return refused(path_); }
    Result<void> allocate(std::uint64_t) override { return refused(path_); }
    Result<std::uint64_t> size() override { return file_->size(); }

  private:
    std::unique_ptr<File> file_;
    std::string path_;
};

// Past the page cache, so in whole blocks.
Result<std::size_t> ReadOnlyFile::read(std::uint64_t offset, std::span<std::byte> bytes) {
    const bool aligned = offset % block_bytes == 0 && bytes.size() % block_bytes == 0 &&
                         reinterpret_cast<std::uintptr_t>(bytes.data()) % block_bytes == 0;
    if (aligned) {
        return file_->read(offset, bytes);
    }
    const std::uint64_t begin = offset / block_bytes * block_bytes;
    const std::uint64_t end = (offset + bytes.size() + block_bytes - 1) / block_bytes * block_bytes;
    BlockMemory blocks(static_cast<std::size_t>(end - begin));
    const auto count = file_->read(begin, blocks.bytes());
    if (!count) {
        return count.error();
    }
    const auto skipped = static_cast<std::size_t>(offset - begin);
    const std::size_t read = *count <= skipped ? 0 : std::min(*count - skipped, bytes.size());
    if (read > 0) {
        std::memcpy(bytes.data(), blocks.bytes().data() + skipped, read);
    }
    return read;
}

}  // namespace

Result<std::unique_ptr<File>> ReadOnlyDisk::open(std::string_view name, OpenMode mode) {
    if (mode == OpenMode::create) {
        return refused(path(name));
    }
    auto file = disk_.open(name, OpenMode::read_direct);
    if (!file) {
        return file.error();
    }
    return std::unique_ptr<File>(std::make_unique<ReadOnlyFile>(std::move(*file), path(name)));
}

Result<void> ReadOnlyDisk::remove(std::string_view name) {
    return refused(path(name));
}

Result<void> ReadOnlyDisk::link(std::string_view, std::string_view new_name) {
    return refused(path(new_name));
}

Result<void> ReadOnlyDisk::sync_directory() {
    return refused(path(""));
}

}  // namespace mqd::storage
