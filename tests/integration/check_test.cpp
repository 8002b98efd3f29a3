// mqd --check-store and mqctl check, with a store that a real daemon made.

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "integration/mqctl_run.hpp"

namespace mqd::test {
namespace {

constexpr int sound = 0;
constexpr int failed = 1;
constexpr int usage = 2;
constexpr int damage_found = 8;

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

// Settings with which a few megabytes end in segments.
constexpr const char* small_store = R"(
[storage]
memory = "1MiB"
segment_bytes = "1MiB"
journal_file_bytes = "1MiB"
journal_bytes = "8MiB"
[limits]
frame_bytes = "192KiB"
message_bytes = "16KiB"
)";

struct Store {
    DaemonProcess daemon{MQD_BIN};
    Mqctl mqctl{daemon.url()};

    Store() {
        daemon.set_config(small_store);
        daemon.start();
        mqctl.must({"-q", "queue", "create", "orders"});
        publish();
        REQUIRE(eventually([&] {
            const std::string status = mqctl.must({"status", "-o", "json"});
            return mentions(status, R"("segment_live_bytes":)") &&
                   !mentions(status, R"("segment_live_bytes":0)");
        }));
    }
    // As much as the journal takes at once; the rest may be refused.
    void publish() {
        std::string lines;
        for (int line = 1; line <= 20'000; ++line) {
            lines += std::to_string(line) + std::string(80, 'x') + '\n';
        }
        (void)mqctl.run({"-q", "publish", "orders", "--lines"}, lines);
    }
    // One for each journal file that was begun.
    [[nodiscard]] int checkpoints() const {
        const std::string status = mqctl.must({"status", "-o", "json"});
        const std::string_view key = R"("checkpoints":)";
        const auto at = status.find(key);
        REQUIRE(at != std::string::npos);
        return std::atoi(status.c_str() + at + key.size());
    }
    MqctlEnd check(std::vector<std::string> more = {}) {
        more.insert(more.begin(), {"check", daemon.data_folder()});
        return mqctl.run(more);
    }
    [[nodiscard]] std::map<std::string, std::string> contents() const {
        std::map<std::string, std::string> files;
        for (const auto& entry : std::filesystem::directory_iterator(daemon.data_folder())) {
            files[entry.path().filename()] = read_file(entry.path());
        }
        return files;
    }
    [[nodiscard]] std::string segment() const {
        for (const auto& [name, bytes] : contents()) {
            if (name.starts_with("segment-")) {
                return daemon.data_folder() + '/' + name;
            }
        }
        return {};
    }
};

TEST_CASE("check: the store of a stopped daemon is sound, and is not changed") {
    Store store;
    SUBCASE("stopped") {
        CHECK(store.daemon.stop() == ProcessEnd{0, 0});
    }
    SUBCASE("killed") {
        store.daemon.kill();
    }
    const auto before = store.contents();
    const MqctlEnd text = store.check();
    CHECK_MESSAGE(text.exit == sound, text.out, text.err);
    CHECK(mentions(text.out, "findings      none: the store is sound\n"));
    const MqctlEnd json = store.check({"-o", "json"});
    CHECK(json.exit == sound);
    CHECK(json.out.starts_with(R"({"store":")" + store.daemon.data_folder() +
                               R"(","sound":true,"verdict":")"));
    CHECK(mentions(json.out, R"(,"damaged":0,"unreadable":0,"findings":[],"notes":[)"));
    CHECK(store.contents() == before);
    REQUIRE(store.daemon.run({"--check-store", store.daemon.data_folder()}) ==
            ProcessEnd{sound, 0});
    CHECK(store.daemon.output() == text.out);
}

TEST_CASE("check: a running daemon is said to be running") {
    Store store;
    const MqctlEnd end = store.check();
    CHECK(end.exit == failed);
    CHECK(end.out.empty());
    CHECK(mentions(end.err, "a daemon is running on " + store.daemon.data_folder()));
    CHECK(store.daemon.alive());
}

TEST_CASE("check: a flipped byte and a missing segment are damage") {
    Store store;
    CHECK(store.daemon.stop() == ProcessEnd{0, 0});
    const std::string segment = store.segment();
    REQUIRE_FALSE(segment.empty());
    constexpr std::streamoff in_first_page = 500;
    {
        std::fstream file(segment, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(in_first_page);
        file.put('\0');
    }
    const MqctlEnd flipped = store.check();
    CHECK(flipped.exit == damage_found);
    CHECK(mentions(flipped.out, "findings      1\n"));
    CHECK(mentions(flipped.out, "damage: " + segment + ": offset 64: "));
    CHECK(mentions(flipped.out, "of queue \"orders\", among numbers 1 to "));

    std::filesystem::remove(segment);
    const MqctlEnd missing = store.check({"-o", "json"});
    CHECK(missing.exit == damage_found);
    CHECK(mentions(missing.out, R"("sound":false)"));
    CHECK(
        mentions(missing.out, R"("findings":[{"kind":"segment","file":")" +
                                  std::filesystem::path(segment).filename().string() +
                                  R"(","offset":64,"queue":"orders","incarnation":1,"first":1,)"));
}

TEST_CASE("check: a store that is salvaged is sound, and what it lost stands in the log") {
    constexpr int damaged = 5;
    Store store;
    // Until the journal does not hold the first messages any more: then the segment is all there
    // is.
    REQUIRE(eventually([&] {
        store.publish();
        return store.checkpoints() >= 5;
    }));
    CHECK(store.daemon.stop() == ProcessEnd{0, 0});
    std::filesystem::remove(store.segment());
    const MqctlEnd found = store.check();
    CHECK(found.exit == damage_found);
    store.daemon.launch();
    CHECK(store.daemon.wait() == ProcessEnd{damaged, 0});

    std::string salvaging = small_store;
    salvaging.insert(salvaging.find("memory ="), "on_damage = \"salvage\"\n");
    store.daemon.set_config(salvaging);
    store.daemon.start();
    CHECK(eventually([&] {
        return mentions(store.daemon.errors(),
                        " messages of queue \"orders\" are lost, among "
                        "numbers 1 to ");
    }));
    CHECK(store.daemon.stop() == ProcessEnd{0, 0});
    CHECK(store.check().exit == sound);
    store.daemon.set_config(small_store);
    store.daemon.start();
    CHECK(store.mqctl.queue_number("orders", "ready") > 0);
}

TEST_CASE("check: what is no store, and what is no command line") {
    const TemporaryFolder folder;
    const Mqctl mqctl("unix:/nonexistent/mqd.sock");
    CHECK(mqctl.run({"check", folder.path()}).exit == sound);  // an empty one
    CHECK(std::filesystem::is_empty(folder.path()));
    const MqctlEnd nowhere = mqctl.run({"check", folder.path() + "/nowhere"});
    CHECK(nowhere.exit == failed);
    CHECK(mentions(nowhere.err, "ENOENT"));
    CHECK(mqctl.run({"check"}).exit == usage);
    CHECK(mqctl.run({"check", "a", "b"}).exit == usage);
    CHECK(mqctl.run({"check", "a", "-o", "raw"}).exit == usage);
    DaemonProcess daemon{MQD_BIN};
    CHECK(daemon.run({"--check-store"}) == ProcessEnd{usage, 0});
    CHECK(daemon.run({"--json"}) == ProcessEnd{usage, 0});
}

}  // namespace
}  // namespace mqd::test
