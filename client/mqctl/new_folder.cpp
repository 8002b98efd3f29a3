#include "client/mqctl/new_folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

namespace mqd::mqctl {
namespace {

constexpr mode_t folder_mode = 0700;
constexpr mode_t file_mode = 0600;

std::string without_slashes(std::string path) {
    while (path.size() > 1 && path.back() == '/') {
        path.pop_back();
    }
    return path;
}

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

bool is_there(const std::string& path) {
    struct stat facts {};
    return ::lstat(path.c_str(), &facts) == 0;
}

void close_if_open(int& descriptor) {
    if (descriptor >= 0) {
        (void)::close(std::exchange(descriptor, -1));
    }
}

}  // namespace

NewFolder::NewFolder(std::string path)
    : path_(without_slashes(std::move(path))), temporary_path_(path_ + ".partial") {}

NewFolder::~NewFolder() {
    close_if_open(file_);
    if (made_) {
        remove();
    }
    close_if_open(folder_);
}

Error NewFolder::file_error(const std::string& what, int reason) const {
    const bool full = reason == ENOSPC || reason == EDQUOT;
    return {full ? ErrorCode::no_space : ErrorCode::io_error,
            what + ": " + std::generic_category().message(reason), 0, 0, reason};
}

void NewFolder::remove() {
    for (const std::string& name : names_) {
        (void)::unlinkat(folder_, name.c_str(), 0);
    }
    (void)::rmdir(temporary_path_.c_str());
}

Result<void> NewFolder::open() {
    if (is_there(path_)) {
        return Error{ErrorCode::io_error, path_ + " is there already", 0, 0, EEXIST};
    }
    if (::mkdir(temporary_path_.c_str(), folder_mode) != 0) {
        if (errno == EEXIST) {
            return Error{ErrorCode::io_error,
                         temporary_path_ + " is there already: remove it, if nobody is writing it",
                         0, 0, EEXIST};
        }
        return file_error("cannot make " + temporary_path_, errno);
    }
    made_ = true;
    folder_ = ::open(temporary_path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (folder_ < 0) {
        return file_error("cannot open " + temporary_path_, errno);
    }
    return {};
}

Result<void> NewFolder::begin_file(const std::string& name) {
    file_ = ::openat(folder_, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                     file_mode);
    if (file_ < 0) {
        return file_error("cannot make " + temporary_path_ + '/' + name, errno);
    }
    names_.push_back(name);
    return {};
}

Result<void> NewFolder::append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(file_, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return file_error("cannot write to " + temporary_path_ + '/' + names_.back(), errno);
        }
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return {};
}

Result<void> NewFolder::end_file() {
    const bool synced = ::fsync(file_) == 0;
    const int reason = errno;
    close_if_open(file_);
    return synced ? Result<void>()
                  : file_error("cannot sync " + temporary_path_ + '/' + names_.back(), reason);
}

Result<void> NewFolder::finish() {
    if (::fsync(folder_) != 0) {
        return file_error("cannot sync " + temporary_path_, errno);
    }
    const char* const from = temporary_path_.c_str();
    // Somebody may have made one meanwhile. Where the file system has no such rename, one that is
    // not empty still stays.
    if (::renameat2(AT_FDCWD, from, AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) != 0) {
        const bool unknown = errno == EINVAL || errno == ENOSYS;
        if (!unknown || ::rename(from, path_.c_str()) != 0) {
            return file_error("cannot make " + path_, errno);
        }
    }
    made_ = false;
    const int parent = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool synced = parent >= 0 && ::fsync(parent) == 0;
    const int reason = errno;
    if (parent >= 0) {
        (void)::close(parent);
    }
    return synced ? Result<void>() : file_error("cannot sync the folder of " + path_, reason);
}

}  // namespace mqd::mqctl
