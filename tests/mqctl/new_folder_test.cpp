#include "client/mqctl/new_folder.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "support/daemon_process.hpp"

namespace mqd::mqctl {
namespace {

namespace fs = std::filesystem;

struct FolderFixture {
    test::TemporaryFolder around;
    std::string path = around.path() + "/new";
    std::string partial = path + ".partial";
    std::vector<std::byte> bytes = std::vector<std::byte>(3, std::byte{'a'});

    [[nodiscard]] bool empty() const { return fs::is_empty(around.path()); }
    [[nodiscard]] Result<void> add(NewFolder& folder, const std::string& name) const {
        if (auto begun = folder.begin_file(name); !begun) {
            return begun;
        }
        if (auto written = folder.append(bytes); !written) {
            return written;
        }
        return folder.end_file();
    }
};

TEST_CASE_FIXTURE(FolderFixture, "new folder: it has its name once it is whole, and not before") {
    {
        NewFolder folder(path + "//");
        CHECK(folder.path() == path);
        CHECK(empty());
        REQUIRE(folder.open().has_value());
        REQUIRE(add(folder, "one").has_value());
        REQUIRE(add(folder, "two").has_value());
        CHECK_FALSE(fs::exists(path));
        REQUIRE(folder.finish().has_value());
    }
    CHECK_FALSE(fs::exists(partial));
    CHECK(test::read_file(path + "/one") == "aaa");
    CHECK(test::read_file(path + "/two") == "aaa");
    struct stat facts {};
    REQUIRE(::stat(path.c_str(), &facts) == 0);
    CHECK((facts.st_mode & 07777) == 0700);
    REQUIRE(::stat((path + "/one").c_str(), &facts) == 0);
    CHECK((facts.st_mode & 07777) == 0600);
}

TEST_CASE_FIXTURE(FolderFixture, "new folder: what is not finished is removed") {
    {
        NewFolder folder(path);
        REQUIRE(folder.open().has_value());
        REQUIRE(add(folder, "one").has_value());
        REQUIRE(folder.begin_file("two").has_value());
        REQUIRE(folder.append(bytes).has_value());
    }
    CHECK(empty());
}

TEST_CASE_FIXTURE(FolderFixture, "new folder: what is there already stays as it is") {
    for (const std::string& name : {path, partial}) {
        CAPTURE(name);
        REQUIRE(fs::create_directory(name));
        {
            NewFolder folder(path);
            const auto opened = folder.open();
            REQUIRE_FALSE(opened.has_value());
            CHECK(opened.error().os_errno == EEXIST);
            CHECK(opened.error().text.starts_with(name + " is there already"));
        }
        CHECK(fs::exists(name));
        fs::remove(name);
    }
    NewFolder folder(path);
    REQUIRE(folder.open().has_value());
    REQUIRE(add(folder, "one").has_value());
    CHECK(add(folder, "one").error().os_errno == EEXIST);
    REQUIRE(fs::create_directory(path));  // meanwhile
    CHECK(folder.finish().error().os_errno == EEXIST);
    CHECK(fs::is_empty(path));
}

}  // namespace
}  // namespace mqd::mqctl
