// The disk that the daemon runs on, in a directory of its own under the temporary directory.

#include "daemon/storage/posix_disk.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "daemon/storage/block_memory.hpp"
#include "daemon/storage/thread_worker.hpp"
#include "storage/journal_fixture.hpp"

namespace mqd::storage::test {
namespace {

class DirectoryFixture {
  public:
    DirectoryFixture() {
        std::string pattern = std::filesystem::temp_directory_path() / "mqd-disk-XXXXXX";
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        directory = pattern;
        open();
    }
    ~DirectoryFixture() { std::filesystem::remove_all(directory); }

    void open() {
        auto opened = PosixDisk::open(directory);
        REQUIRE(opened.has_value());
        disk = std::move(*opened);
    }
    std::unique_ptr<File> file(std::string_view name, OpenMode mode) {
        auto opened = disk->open(name, mode);
        REQUIRE_MESSAGE(opened.has_value(), opened.error().text);
        return std::move(*opened);
    }

    std::string directory;
    std::unique_ptr<PosixDisk> disk;
};

TEST_CASE_FIXTURE(DirectoryFixture, "posix disk: what is written is read, by both ways") {
    const auto created = file("a", OpenMode::create);
    REQUIRE(created->allocate(8 * block_bytes).has_value());
    BlockMemory memory(2 * block_bytes);
    std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{7});
    REQUIRE(created->write(block_bytes, memory.bytes()).has_value());
    std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{8});
    REQUIRE(created->write_for_sync(3 * block_bytes, memory.bytes()).has_value());
    REQUIRE(created->sync().has_value());
    CHECK(created->size().value() == 8 * block_bytes);

    for (const OpenMode mode : {OpenMode::read_write, OpenMode::read_direct}) {
        const auto again = file("a", mode);
        BlockMemory read(16 * block_bytes);
        const auto count = again->read(0, read.bytes());
        REQUIRE(count.has_value());
        CHECK(*count == 8 * block_bytes);
        CHECK(read.bytes()[0] == std::byte{0});
        CHECK(read.bytes()[block_bytes] == std::byte{7});
        CHECK(read.bytes()[3 * block_bytes - 1] == std::byte{7});
        CHECK(read.bytes()[3 * block_bytes] == std::byte{8});
        CHECK(read.bytes()[5 * block_bytes - 1] == std::byte{8});
        CHECK(read.bytes()[5 * block_bytes] == std::byte{0});
        const auto behind = again->read(8 * block_bytes, read.bytes());
        REQUIRE(behind.has_value());
        CHECK(*behind == 0);
    }
}

TEST_CASE_FIXTURE(DirectoryFixture, "posix disk: a file whose length is no multiple of a block") {
    const auto created = file("a", OpenMode::create);
    const std::vector<std::byte> bytes(5000, std::byte{3});
    REQUIRE(created->write(0, bytes).has_value());
    REQUIRE(created->write(5000, bytes).has_value());
    const auto again = file("a", OpenMode::read_direct);
    BlockMemory read(4 * block_bytes);
    const auto count = again->read(0, read.bytes());
    REQUIRE(count.has_value());
    CHECK(*count == 10'000);
    CHECK(read.bytes()[9999] == std::byte{3});
}

TEST_CASE_FIXTURE(DirectoryFixture, "posix disk: allocating keeps what is there") {
    const auto created = file("a", OpenMode::create);
    const std::vector<std::byte> bytes(100, std::byte{3});
    REQUIRE(created->write(0, bytes).has_value());
    REQUIRE(created->allocate(100'000).has_value());
    CHECK(created->size().value() == 100'000);
    std::vector<std::byte> read(200);
    CHECK(created->read(0, read).value() == 200);
    CHECK(read[99] == std::byte{3});
    CHECK(read[100] == std::byte{0});
    struct stat found {};
    REQUIRE(::stat(disk->path("a").c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0600);
}

TEST_CASE_FIXTURE(DirectoryFixture, "posix disk: errors name file and errno") {
    const auto missing = disk->open("nothing", OpenMode::read_write);
    REQUIRE_FALSE(missing.has_value());
    CHECK(missing.error().code == ErrorCode::io_error);
    CHECK(missing.error().os_errno == ENOENT);
    CHECK(missing.error().text.find(directory + "/nothing") != std::string::npos);
    CHECK(missing.error().text.find("ENOENT") != std::string::npos);
    static_cast<void>(file("a", OpenMode::create));
    CHECK(disk->open("a", OpenMode::create).error().os_errno == EEXIST);
    CHECK(disk->remove("nothing").error().os_errno == ENOENT);
    CHECK(PosixDisk::open(directory + "/nowhere").error().os_errno == ENOENT);
    REQUIRE(::symlink("a", disk->path("link").c_str()) == 0);
    CHECK(disk->open("link", OpenMode::read_write).error().os_errno == ELOOP);
}

// A file takes two descriptors; each of them may be the one that is not there.
TEST_CASE_FIXTURE(DirectoryFixture, "posix disk: a file that cannot be opened is not created") {
    const int next = ::dup(STDOUT_FILENO);
    REQUIRE(next >= 0);
    ::close(next);
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    for (const int descriptors : {0, 1}) {
        rlimit few = before;
        few.rlim_cur = static_cast<rlim_t>(next + descriptors);
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
        const auto failed = disk->open("a", OpenMode::create);
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
        REQUIRE_FALSE(failed.has_value());
        CHECK(failed.error().os_errno == EMFILE);
        CHECK_FALSE(std::filesystem::exists(disk->path("a")));
    }
    static_cast<void>(file("a", OpenMode::create));
}

TEST_CASE("posix disk: a full file system is no_space") {
    auto device = PosixDisk::open("/dev");
    REQUIRE(device.has_value());
    const auto full = (*device)->open("full", OpenMode::read_write);
    if (!full) {
        MESSAGE("no /dev/full here");
        return;
    }
    const std::vector<std::byte> bytes(100);
    const auto written = (*full)->write(0, bytes);
    REQUIRE_FALSE(written.has_value());
    CHECK(written.error().code == ErrorCode::no_space);
    CHECK(written.error().os_errno == ENOSPC);
}

TEST_CASE_FIXTURE(DirectoryFixture, "posix disk: names are listed and removed") {
    static_cast<void>(file("b", OpenMode::create));
    static_cast<void>(file("a", OpenMode::create));
    CHECK(disk->list().value() == std::vector<std::string>{"a", "b"});
    REQUIRE(disk->remove("a").has_value());
    REQUIRE(disk->sync_directory().has_value());
    CHECK(disk->list().value() == std::vector<std::string>{"b"});
}

TEST_CASE_FIXTURE(DirectoryFixture, "posix disk: a linked file outlives its first name") {
    const std::vector<std::byte> bytes(100, std::byte{7});
    REQUIRE(file("a", OpenMode::create)->write(0, bytes).has_value());
    REQUIRE(disk->link("a", "backup.a").has_value());
    CHECK(disk->link("a", "backup.a").error().os_errno == EEXIST);
    CHECK(disk->link("b", "backup.b").error().os_errno == ENOENT);
    REQUIRE(disk->remove("a").has_value());
    CHECK(disk->list().value() == std::vector<std::string>{"backup.a"});
    std::vector<std::byte> read(200);
    CHECK(file("backup.a", OpenMode::read_write)->read(0, read).value() == 100);
    CHECK(read[99] == std::byte{7});
}

TEST_CASE_FIXTURE(DirectoryFixture, "posix disk: the directory belongs to one at a time") {
    auto first = disk->lock();
    REQUIRE(first.has_value());
    auto other = PosixDisk::open(directory);
    REQUIRE(other.has_value());
    const auto second = (*other)->lock();
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == ErrorCode::locked);
    CHECK(second.error().text.find(directory) != std::string::npos);
    first->reset();
    CHECK((*other)->lock().has_value());
}

TEST_CASE_FIXTURE(DirectoryFixture, "posix disk: a sync is as slow as a test asks for") {
    REQUIRE(::setenv("MQD_TEST_SYNC_DELAY_MS", "30", 1) == 0);
    open();
    REQUIRE(::unsetenv("MQD_TEST_SYNC_DELAY_MS") == 0);
    const auto created = file("a", OpenMode::create);
    const auto before = std::chrono::steady_clock::now();
    REQUIRE(created->sync().has_value());
    CHECK(std::chrono::steady_clock::now() - before >= std::chrono::milliseconds(30));
}

// A journal as the daemon has it: real files, real threads, an eventfd that wakes the loop.
class ThreadedJournal : public DirectoryFixture, public JournalListener {
  public:
    ThreadedJournal() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        REQUIRE(wake_ >= 0);
        options.file_bytes = 1024 * 1024;
        options.bytes_max = 8 * options.file_bytes;
    }
    ~ThreadedJournal() override {
        close_journal();
        ::close(wake_);
    }

    void open_journal() {
        const auto notify = [wake = wake_] {
            const std::uint64_t one = 1;
            MQD_ASSERT(::write(wake, &one, sizeof one) == sizeof one);
        };
        commit_ = std::make_unique<ThreadWorker>("commit", notify);
        background_ = std::make_unique<ThreadWorker>("background", notify);
        replayed.clear();
        auto opened = Journal::open(*disk, *commit_, *background_, options, *this,
                                    [this](const GroupView& group) -> Result<void> {
                                        replayed.emplace_back(
                                            reinterpret_cast<const char*>(group.body.data()),
                                            group.body.size());
                                        return {};
                                    });
        REQUIRE_MESSAGE(opened.has_value(), opened.error().text);
        journal = std::move(*opened);
        const FileOrdinal current = journal->current_file();
        for (FileOrdinal file = journal->oldest_file(); file < current; file = file.plus(1)) {
            journal->file_emptied(file);
        }
    }
    void close_journal() {
        commit_.reset();
        background_.reset();
        journal.reset();
    }
    // One turn of the loop.
    void turn() {
        commit_->hand_over();
        background_->hand_over();
        pollfd waits{wake_, POLLIN, 0};
        REQUIRE(::poll(&waits, 1, 10'000) == 1);
        std::uint64_t count = 0;
        static_cast<void>(::read(wake_, &count, sizeof count));
        commit_->run_done();
        background_->run_done();
    }
    void commit(std::string_view body) {
        GroupBuffer group;
        group.append(std::as_bytes(std::span<const char>(body.data(), body.size())));
        GroupBuffer state;
        GroupBuffer* begins = nullptr;
        if (journal->needs_new_file(group.file_bytes())) {
            while (!journal->new_file_ready()) {
                turn();
            }
            begins = &state;
        }
        const auto before = journal->current_file();
        const auto submitted =
            journal->submit(group, GroupKind::records, {1, 1}, Reach::durable, begins);
        while (journal->durable() < submitted.sequence) {
            turn();
        }
        while (journal->busy()) {
            turn();
        }
        if (before != journal->current_file() && before.value() != 0) {
            journal->file_emptied(before);
        }
    }

    void journal_written(Sequence) override {}
    void journal_durable(Sequence) override {}
    void journal_failed(const Error& error) override { FAIL(error.text); }
    void journal_room_changed() override {}

    JournalOptions options;
    std::unique_ptr<Journal> journal;
    std::vector<std::string> replayed;

  private:
    int wake_;
    std::unique_ptr<ThreadWorker> commit_;
    std::unique_ptr<ThreadWorker> background_;
};

TEST_CASE_FIXTURE(ThreadedJournal, "posix disk: a journal with its threads commits and reopens") {
    open_journal();
    int next = 0;
    for (int life = 0; life < 4; ++life) {
        for (int i = 0; i < 20; ++i) {
            std::string body = std::to_string(++next) + ' ';
            body.resize(body.size() + static_cast<std::size_t>(i) * 9000, 'x');
            commit(body);
        }
        close_journal();
        open();
        open_journal();
        REQUIRE_FALSE(replayed.empty());
        CHECK(std::stoi(replayed.back()) == next);
        CHECK(journal->recovery().verdict.substr(0, 2) == "B:");
    }
    CHECK(journal->figures().files <= 5);
}

}  // namespace
}  // namespace mqd::storage::test
