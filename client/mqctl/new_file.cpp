#include "client/mqctl/new_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace mqd::mqctl {
namespace {

constexpr unsigned mode_bits = 07777;

Error file_error(const std::string& what, int reason) {
    return {ErrorCode::io_error, what + ": " + std::generic_category().message(reason), 0, 0,
            reason};
}

Error exists(const std::string& path) {
    return {ErrorCode::io_error, path + " is there already (--force replaces it)", 0, 0, EEXIST};
}

// As open(2) would make a new file. There is no way to read the mask without setting it.
unsigned mode_of_new_files() {
    const mode_t mask = ::umask(0);
    (void)::umask(mask);
    return 0666 & ~mask;
}

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

// So that the name outlives a power loss.
Result<void> sync_folder(const std::string& path) {
    const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return file_error("cannot open the folder " + path, errno);
    }
    const bool synced = ::fsync(folder) == 0;
    const int reason = errno;
    (void)::close(folder);
    return synced ? Result<void>() : file_error("cannot sync the folder " + path, reason);
}

}  // namespace

NewFile::~NewFile() {
    if (descriptor_ >= 0) {
        (void)::close(descriptor_);
    }
    if (!temporary_path_.empty()) {
        (void)::unlink(temporary_path_.c_str());
    }
}

Result<void> NewFile::open() {
    unsigned mode = mode_of_new_files();
    if (auto existing = check_existing(mode); !existing) {
        return existing;
    }
    std::string temporary = path_ + ".part.XXXXXX";
    descriptor_ = ::mkostemp(temporary.data(), O_CLOEXEC);
    if (descriptor_ < 0) {
        return file_error("cannot make " + path_, errno);
    }
    temporary_path_ = std::move(temporary);
    if (::fchmod(descriptor_, mode) != 0) {
        return file_error("cannot make " + path_, errno);
    }
    return {};
}

// A file that is replaced leaves its mode behind: who could not read it cannot read the new one.
Result<void> NewFile::check_existing(unsigned& mode) const {
    struct stat facts {};
    if (::lstat(path_.c_str(), &facts) != 0) {
        return errno == ENOENT ? Result<void>() : file_error("cannot look at " + path_, errno);
    }
    if (!S_ISREG(facts.st_mode)) {  // a device, a pipe, a link: to be written to, not replaced
        return Error{ErrorCode::io_error, path_ + " is there and is no regular file", 0, 0, EEXIST};
    }
    if (existing_ == Existing::refused) {
        return exists(path_);
    }
    mode = facts.st_mode & mode_bits;
    return {};
}

Result<void> NewFile::finish() {
    if (::fsync(descriptor_) != 0) {
        return file_error("cannot sync " + path_, errno);
    }
    const int written = std::exchange(descriptor_, -1);
    if (::close(written) != 0) {
        return file_error("cannot write to " + path_, errno);
    }
    if (auto named = give_name(); !named) {
        return named;
    }
    temporary_path_.clear();
    return sync_folder(folder_of(path_));
}

Result<void> NewFile::give_name() {
    const char* const from = temporary_path_.c_str();
    if (existing_ == Existing::refused) {
        // Somebody may have made one meanwhile.
        if (::renameat2(AT_FDCWD, from, AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0) {
            return {};
        }
        if (errno == EEXIST) {
            return exists(path_);
        }
        if (errno != EINVAL && errno != ENOSYS) {
            return file_error("cannot make " + path_, errno);
        }
        unsigned mode = 0;  // this file system has no such rename
        if (auto existing = check_existing(mode); !existing) {
            return existing;
        }
    }
    const bool named = ::rename(from, path_.c_str()) == 0;
    return named ? Result<void>() : file_error("cannot make " + path_, errno);
}

}  // namespace mqd::mqctl
