// Checkpoints that take many turns, while what they tell of changes.

#include "core/core_fixture.hpp"

namespace mqd::core::test {
namespace {

struct SlowCheckpoint : CoreFixture {
    static constexpr std::uint64_t file_bytes = 64 * 1024;

    WireClient* client = nullptr;
    std::uint64_t line = 0;

    SlowCheckpoint() {
        options.journal = {file_bytes, 16 * file_bytes};
        options.backlog.checkpoint_items = 1;
        start();
        create("a", Durability::disk);
        client = &connect();
        (void)client->open_producer("a");
    }
    void publish() { client->publish(++line, {std::string(3000, 'x')}); }
    void turn() {
        daemon.begin_turn();
        daemon.commit().run_all();
        daemon.background().run_all();
        daemon.end_turn();
        daemon.pass(std::chrono::milliseconds(1));
    }
    // Until the journal does not have the beginning of anything any more.
    void recycle_journal() {
        const auto until = daemon.core().journal().current_file();
        while (daemon.core().journal().oldest_file() <= until) {
            REQUIRE(line < 1000);
            publish();
            daemon.settle();
            (void)client->take();
        }
    }
    // Until a checkpoint has begun.
    void begin_checkpoint() {
        while (!daemon.core().wants_turn()) {
            REQUIRE(line < 1000);
            publish();
            turn();
        }
    }
    void end_checkpoint() {
        while (daemon.core().wants_turn()) {
            turn();
        }
        daemon.settle();
    }
};

// Deletes a queue that gets and ends messages, so many turns after a checkpoint began.
// `old`: the journal does not know any more that it was created.
void delete_meanwhile(std::string_view name, bool old, int turns_before_ack,
                      int turns_before_delete) {
    CAPTURE(turns_before_ack);
    CAPTURE(turns_before_delete);
    SlowCheckpoint store;
    for (const char* other : {"b", "c", "d", "e"}) {
        store.create(other, Durability::disk);
    }
    store.create(name, Durability::disk);
    if (old) {
        store.recycle_journal();
    }
    WireClient& client = store.connect();
    (void)client.open_producer(name);
    (void)client.open_consumer(name);
    client.publish(1, {"x", "y", "z"});
    store.daemon.settle_for(std::chrono::milliseconds(100));
    store.begin_checkpoint();
    for (int i = 0; i < turns_before_ack; ++i) {
        store.turn();
    }
    client.ack(2);
    for (int i = 0; i < turns_before_delete; ++i) {
        store.turn();
    }
    client.ask(wire::FrameType::queue_delete, name);
    store.end_checkpoint();
    store.kill();
    const auto started = store.try_start();
    REQUIRE_MESSAGE(started.has_value(), started.error().text);
    CHECK(store.daemon.core().engine().find(name) == nullptr);
    CHECK(store.queue("a").live() == store.line);
}

constexpr int turns_max = 14;  // the checkpoint is complete by then

TEST_CASE("checkpoint: a queue goes before its turn comes") {
    for (int turns = 0; turns < turns_max; ++turns) {
        delete_meanwhile("z", true, 0, turns);
    }
}

// The journal has all of its life, of which the checkpoint knew a part.
TEST_CASE("checkpoint: a queue goes when it is written") {
    for (int before = 0; before < turns_max; ++before) {
        for (int turns = 0; before + turns < turns_max; ++turns) {
            delete_meanwhile("aa", false, before, turns);
        }
    }
}

}  // namespace
}  // namespace mqd::core::test
