#include "daemon/storage/posix_disk.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#include "mqd/assert.hpp"

namespace mqd::storage {

namespace {

constexpr std::string_view lock_name = "lock";
constexpr mode_t file_mode = 0600;

Error os_error(std::string_view what, const std::string& path) {
    const int number = errno;
    const char* name = ::strerrorname_np(number);  // null: the C library does not know it
    Error error;
    error.code = number == ENOSPC || number == EDQUOT ? ErrorCode::no_space : ErrorCode::io_error;
    error.text = std::string(what) + ' ' + path + ": " +
                 (name != nullptr ? std::string(name) + " (" + ::strerrordesc_np(number) + ')'
                                  : "errno " + std::to_string(number));
    error.os_errno = number;
    return error;
}

// Repeats a call that a signal interrupted.
template <typename Call>
auto uninterrupted(Call call) {
    decltype(call()) result;
    do {
        result = call();
    } while (result == -1 && errno == EINTR);
    return result;
}

class Descriptor {
  public:
    Descriptor() = default;
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~Descriptor() {
        if (number_ >= 0) {
            ::close(number_);
        }
    }

    [[nodiscard]] int number() const { return number_; }
    [[nodiscard]] bool valid() const { return number_ >= 0; }

  private:
    int number_ = -1;
};

bool is_aligned(std::uint64_t offset, std::span<const std::byte> bytes) {
    return offset % block_bytes == 0 && bytes.size() % block_bytes == 0 &&
           reinterpret_cast<std::uintptr_t>(bytes.data()) % block_bytes == 0;
}

class PosixFile : public File {
  public:
    // `direct` bypasses the page cache; invalid where the file system does not offer that.
    PosixFile(std::string path, Descriptor cached, Descriptor direct,
              std::chrono::milliseconds sync_delay)
        : path_(std::move(path)),
          cached_(std::move(cached)),
          direct_(std::move(direct)),
          sync_delay_(sync_delay) {}

    Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
        return write_through(cached_, offset, bytes);
    }

    Result<void> write_for_sync(std::uint64_t offset, std::span<const std::byte> bytes) override {
        const bool direct = direct_.valid() && is_aligned(offset, bytes);
        return write_through(direct ? direct_ : cached_, offset, bytes);
    }

    Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> bytes) override {
        std::size_t done = 0;
        while (done < bytes.size()) {
            const Descriptor& from =
                direct_.valid() && is_aligned(offset + done, bytes.subspan(done)) ? direct_
                                                                                  : cached_;
            const ssize_t count = uninterrupted([&] {
                return ::pread(from.number(), bytes.data() + done, bytes.size() - done,
                               static_cast<off_t>(offset + done));
            });
            if (count < 0) {
                return os_error("cannot read", path_);
            }
            if (count == 0) {
                break;
            }
            done += static_cast<std::size_t>(count);
        }
        return done;
    }

    Result<void> sync() override {
        if (sync_delay_.count() > 0) {
            std::this_thread::sleep_for(sync_delay_);
        }
        // Not repeated after any error but EINTR: a second try may report success for data that is
        // lost.
        if (uninterrupted([&] { return ::fdatasync(cached_.number()); }) != 0) {
            return os_error("cannot sync", path_);
        }
        return {};
    }

    Result<void> allocate(std::uint64_t bytes) override {
        int failed = uninterrupted(
            [&] { return ::fallocate(cached_.number(), 0, 0, static_cast<off_t>(bytes)); });
        if (failed != 0 && errno == EOPNOTSUPP) {
            // A file system without reservation: the length at least; zero-filling then takes the
            // space.
            failed = uninterrupted(
                [&] { return ::ftruncate(cached_.number(), static_cast<off_t>(bytes)); });
        }
        if (failed != 0) {
            return os_error("cannot allocate", path_);
        }
        return {};
    }

    Result<std::uint64_t> size() override {
        struct stat found {};
        if (::fstat(cached_.number(), &found) != 0) {
            return os_error("cannot stat", path_);
        }
        return static_cast<std::uint64_t>(found.st_size);
    }

  private:
    Result<void> write_through(const Descriptor& to, std::uint64_t offset,
                               std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const ssize_t count = uninterrupted([&] {
                return ::pwrite(to.number(), bytes.data(), bytes.size(),
                                static_cast<off_t>(offset));
            });
            if (count < 0) {
                return os_error("cannot write", path_);
            }
            if (count == 0) {
                errno = EIO;
                return os_error("cannot write", path_);
            }
            bytes = bytes.subspan(static_cast<std::size_t>(count));
            offset += static_cast<std::uint64_t>(count);
            if (&to == &direct_ && !is_aligned(offset, bytes)) {
                return write_through(cached_, offset, bytes);  // a short write, off the grid
            }
        }
        return {};
    }

    std::string path_;
    Descriptor cached_;
    Descriptor direct_;
    std::chrono::milliseconds sync_delay_;
};

class PosixLock : public DirectoryLock {
  public:
    explicit PosixLock(Descriptor file) : file_(std::move(file)) {}

  private:
    Descriptor file_;  // the lock goes when it is closed
};

std::chrono::milliseconds sync_delay_from_environment() {
    constexpr long delay_ms_max = 60'000;
    const char* text = std::getenv("MQD_TEST_SYNC_DELAY_MS");
    long delay_ms = 0;
    if (text != nullptr) {
        std::from_chars(text, text + std::strlen(text), delay_ms);
    }
    return std::chrono::milliseconds(std::clamp(delay_ms, 0L, delay_ms_max));
}

}  // namespace

Result<std::unique_ptr<PosixDisk>> PosixDisk::open(const std::string& directory) {
    const int descriptor = uninterrupted(
        [&] { return ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (descriptor < 0) {
        return os_error("cannot open", directory);
    }
    return std::unique_ptr<PosixDisk>(
        new PosixDisk(directory, descriptor, sync_delay_from_environment()));
}

PosixDisk::PosixDisk(std::string directory, int descriptor, std::chrono::milliseconds sync_delay)
    : directory_(std::move(directory)), descriptor_(descriptor), sync_delay_(sync_delay) {}

PosixDisk::~PosixDisk() {
    ::close(descriptor_);
}

std::string PosixDisk::path(std::string_view name) const {
    return directory_ + '/' + std::string(name);
}

Result<std::unique_ptr<File>> PosixDisk::open(std::string_view name, OpenMode mode) {
    const std::string file_name(name);
    const auto open_with = [&](int flags) {
        return Descriptor(uninterrupted([&] {
            return ::openat(descriptor_, file_name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW,
                            file_mode);
        }));
    };
    int flags = mode == OpenMode::read_direct ? O_RDONLY : O_RDWR;
    flags |= mode == OpenMode::create ? O_CREAT | O_EXCL : 0;
    Descriptor cached = open_with(flags);
    if (!cached.valid()) {
        return os_error("cannot open", path(name));
    }
    Descriptor direct = open_with((flags & ~(O_CREAT | O_EXCL)) | O_DIRECT);
    if (!direct.valid() && errno != EINVAL && errno != EOPNOTSUPP) {
        const Error error = os_error("cannot open", path(name));
        if (mode == OpenMode::create) {
            ::unlinkat(descriptor_, file_name.c_str(), 0);
        }
        return error;
    }
    if (mode == OpenMode::read_direct && !direct.valid()) {
        // Second best: what is dirty goes to the disk, what is clean leaves the page cache.
        if (uninterrupted([&] { return ::fdatasync(cached.number()); }) != 0) {
            return os_error("cannot sync", path(name));
        }
        ::posix_fadvise(cached.number(), 0, 0, POSIX_FADV_DONTNEED);
    }
    return std::unique_ptr<File>(
        std::make_unique<PosixFile>(path(name), std::move(cached), std::move(direct), sync_delay_));
}

Result<void> PosixDisk::remove(std::string_view name) {
    if (::unlinkat(descriptor_, std::string(name).c_str(), 0) != 0) {
        return os_error("cannot remove", path(name));
    }
    return {};
}

Result<void> PosixDisk::link(std::string_view name, std::string_view new_name) {
    if (::linkat(descriptor_, std::string(name).c_str(), descriptor_, std::string(new_name).c_str(),
                 0) != 0) {
        return os_error("cannot make a hard link to " + path(name) + ',', path(new_name));
    }
    return {};
}

Result<void> PosixDisk::sync_directory() {
    if (uninterrupted([&] { return ::fsync(descriptor_); }) != 0) {
        return os_error("cannot sync", directory_);
    }
    return {};
}

Result<std::vector<std::string>> PosixDisk::list() {
    // A descriptor of its own: reading moves its position.
    const int descriptor = uninterrupted(
        [&] { return ::openat(descriptor_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    DIR* directory = descriptor < 0 ? nullptr : ::fdopendir(descriptor);
    if (directory == nullptr) {
        const Error error = os_error("cannot list", directory_);
        if (descriptor >= 0) {
            ::close(descriptor);
        }
        return error;
    }
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(directory)) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") {
            names.emplace_back(name);
        }
        errno = 0;
    }
    const int failed = errno;
    ::closedir(directory);
    if (failed != 0) {
        errno = failed;
        return os_error("cannot list", directory_);
    }
    std::sort(names.begin(), names.end());
    return names;
}

Result<std::unique_ptr<DirectoryLock>> PosixDisk::lock() {
    return lock(O_RDWR | O_CREAT);
}

Result<std::unique_ptr<DirectoryLock>> PosixDisk::lock_to_look() {
    auto locked = lock(O_RDONLY);
    if (!locked && locked.error().os_errno == ENOENT) {
        return std::unique_ptr<DirectoryLock>(std::make_unique<PosixLock>(Descriptor()));
    }
    return locked;
}

Result<std::unique_ptr<DirectoryLock>> PosixDisk::lock(int flags) {
    Descriptor file(uninterrupted([&] {
        return ::openat(descriptor_, std::string(lock_name).c_str(), flags | O_CLOEXEC | O_NOFOLLOW,
                        file_mode);
    }));
    if (!file.valid()) {
        return os_error("cannot open", path(lock_name));
    }
    if (uninterrupted([&] { return ::flock(file.number(), LOCK_EX | LOCK_NB); }) != 0) {
        Error error = os_error("cannot lock", path(lock_name));
        if (error.os_errno == EWOULDBLOCK) {
            error.code = ErrorCode::locked;
            error.text = "another process has the data directory " + directory_;
        }
        return error;
    }
    return std::unique_ptr<DirectoryLock>(std::make_unique<PosixLock>(std::move(file)));
}

}  // namespace mqd::storage
