#include "client/mqctl/new_file.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "support/daemon_process.hpp"

namespace mqd::mqctl {
namespace {

using test::read_file;
using test::write_file;
using Existing = NewFile::Existing;

struct Fixture {
    test::TemporaryFolder folder;
    std::string path = folder.path() + "/dump";

    // How many names there are, the temporary ones as well.
    [[nodiscard]] std::ptrdiff_t names() const {
        return std::distance(std::filesystem::directory_iterator(folder.path()), {});
    }
    [[nodiscard]] Result<void> make(std::string_view text, Existing existing) const {
        NewFile file(path, existing);
        if (auto opened = file.open(); !opened) {
            return opened;
        }
        REQUIRE(::write(file.descriptor(), text.data(), text.size()) ==
                static_cast<ssize_t>(text.size()));
        return file.finish();
    }
    [[nodiscard]] unsigned mode() const {
        struct stat facts {};
        REQUIRE(::stat(path.c_str(), &facts) == 0);
        return facts.st_mode & 0777u;
    }
};

TEST_CASE("new file: it has its name once it is finished, and not before") {
    const Fixture f;
    {
        NewFile file(f.path, Existing::refused);
        CHECK(f.names() == 0);
        REQUIRE(file.open());
        REQUIRE(::write(file.descriptor(), "whole", 5) == 5);
        CHECK_FALSE(std::filesystem::exists(f.path));
        CHECK(f.names() == 1);
        REQUIRE(file.finish());
        CHECK(read_file(f.path) == "whole");
    }
    CHECK(read_file(f.path) == "whole");
    CHECK(f.names() == 1);
}

TEST_CASE("new file: without its end there is nothing") {
    const Fixture f;
    {
        NewFile file(f.path, Existing::refused);
        REQUIRE(file.open());
        CHECK(f.names() == 1);
    }
    CHECK(f.names() == 0);
}

TEST_CASE("new file: one that is there is kept unless it may be replaced") {
    const Fixture f;
    write_file(f.path, "old");
    const auto refused = f.make("new", Existing::refused);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().os_errno == EEXIST);
    CHECK(refused.error().text.find("--force") != std::string::npos);
    CHECK(read_file(f.path) == "old");
    {
        NewFile file(f.path, Existing::replaced);
        REQUIRE(file.open());
        CHECK(read_file(f.path) == "old");
    }
    CHECK(read_file(f.path) == "old");
    REQUIRE(f.make("new", Existing::replaced));
    CHECK(read_file(f.path) == "new");
    CHECK(f.names() == 1);
}

TEST_CASE("new file: one that somebody else made meanwhile is kept") {
    const Fixture f;
    {
        NewFile file(f.path, Existing::refused);
        REQUIRE(file.open());
        write_file(f.path, "theirs");
        const auto refused = file.finish();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().os_errno == EEXIST);
    }
    CHECK(read_file(f.path) == "theirs");
    CHECK(f.names() == 1);
}

TEST_CASE("new file: only a regular file is replaced") {
    const Fixture f;
    REQUIRE(::symlink("/dev/null", f.path.c_str()) == 0);
    for (const Existing existing : {Existing::refused, Existing::replaced}) {
        const auto refused = f.make("new", existing);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().text.find("no regular file") != std::string::npos);
    }
    CHECK(std::filesystem::is_symlink(f.path));
}

TEST_CASE("new file: its mode is that of the one it replaces, else that of any new file") {
    const Fixture f;
    const mode_t before = ::umask(027);
    REQUIRE(f.make("x", Existing::refused));
    CHECK(f.mode() == 0640);
    REQUIRE(::chmod(f.path.c_str(), 0600) == 0);
    REQUIRE(f.make("y", Existing::replaced));
    CHECK(f.mode() == 0600);
    (void)::umask(before);
}

TEST_CASE("new file: a folder that is not there is an error that names the file") {
    const Fixture f;
    NewFile file(f.folder.path() + "/none/dump", Existing::refused);
    const auto opened = file.open();
    REQUIRE_FALSE(opened);
    CHECK(opened.error().os_errno == ENOENT);
    CHECK(opened.error().text.find("none/dump") != std::string::npos);
}

}  // namespace
}  // namespace mqd::mqctl
