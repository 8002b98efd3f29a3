// The administration calls against a daemon by hand: what an answer that is late, wrong or missing
// makes of them.

#include <doctest/doctest.h>

#include <optional>

#include "mqd/client.hpp"
#include "mqd/wire/backup.hpp"
#include "peer.hpp"

namespace mqd::client {
namespace {

using wire::FrameType;

TEST_CASE("client: a page of peeked messages may be asked for and taken later") {
    Peer peer([](PeerSocket& socket) {
        const SentFrame first = socket.expect(FrameType::peek);
        const SentFrame second = socket.expect(FrameType::peek);
        const auto batch = encode_batch({"late"});
        wire::PeekReply reply{MessageNumber(6), true, {}};
        reply.runs.push_back(
            {wire::MessageState::ready, {MessageNumber(5), WallTime(), 1, 0, {1, 2, 3}, batch}});
        socket.write(encode(wire::ErrorFrame{ErrorCode::no_such_queue, 0, 0, "gone"},
                            second.header.correlation));
        socket.write(encode(reply, first.header.correlation));
        const SentFrame third = socket.expect(FrameType::peek);
        socket.write(encode(wire::PeekReply{MessageNumber(6), true, {}}, third.header.correlation));
        (void)socket.expect(FrameType::peek);  // and the connection ends without an answer
    });
    {
        Client client = peer.connect();
        auto first = client.begin_peek("a", MessageNumber(1), 10);
        auto second = client.begin_peek("b", MessageNumber(1), 10);
        REQUIRE(first.has_value());
        REQUIRE(second.has_value());
        const auto not_yet = client.take_peek(*first);
        REQUIRE(not_yet.has_value());
        CHECK_FALSE(not_yet->has_value());

        std::optional<PeekPage> page;
        while (!page) {
            REQUIRE(client.process(forever).has_value());
            auto taken = client.take_peek(*first);
            REQUIRE(taken.has_value());
            page = std::move(*taken);
        }
        REQUIRE(page->messages.size() == 1);
        CHECK(page->messages[0].body == "late");
        CHECK(page->next == MessageNumber(6));
        CHECK(client.take_peek(*second).error().code == ErrorCode::no_such_queue);
        CHECK(client.take_peek(*first).error().code == ErrorCode::usage);
        CHECK(client.take_peek(*second).error().code == ErrorCode::usage);

        // A page after which one would ask for the same page again.
        CHECK(client.peek("a", MessageNumber(6), 10).error().code == ErrorCode::protocol_violation);

        auto unanswered = client.begin_peek("a", MessageNumber(1), 10);
        REQUIRE(unanswered.has_value());
        while (client.connected()) {
            (void)client.process(forever);
        }
        CHECK(client.take_peek(*unanswered).error().code == ErrorCode::disconnected);
        CHECK(client.begin_peek("a", MessageNumber(1), 10).error().code == ErrorCode::disconnected);
        CHECK(client.begin_peek("no name", MessageNumber(1), 10).error().code ==
              ErrorCode::bad_name);
    }
    peer.join();
}

using Delays = std::vector<std::chrono::milliseconds>;

TEST_CASE("client: a queue is made and changed with the options that are said, and no others") {
    Peer peer([](PeerSocket& socket) {
        const auto answer = [&](const SentFrame& request) {
            wire::QueueInfo info;
            info.queue = "orders";
            info.durability = Durability::disk;
            info.dying = 4;
            info.delayed = 3;
            info.options.max_attempts = 5;
            info.options.dead_letter = "";
            info.options.max_messages = 6;
            info.options.max_bytes = 7;
            info.options.on_full = OnFull::drop_oldest;
            info.options.paused = 0x32;
            info.options.priorities = 1;
            info.options.group_rate = Rate{100, std::chrono::hours(1)};
            info.next_of_levels.assign(number_levels, MessageNumber(5));
            info.options.retry = {std::chrono::milliseconds(1000), std::chrono::hours(1)};
            socket.write(encode(info, request.header.correlation));
        };
        const auto check = [](bool as_expected) {
            if (!as_expected) {
                throw std::runtime_error("other options");
            }
        };
        const SentFrame plain = socket.expect(FrameType::queue_create);
        const auto none = plain.as<wire::QueueCreate>().options;
        check(none.count() == 0);
        answer(plain);
        const SentFrame create = socket.expect(FrameType::queue_create);
        const auto made = create.as<wire::QueueCreate>().options;
        check(made.durability == Durability::written && made.lease_ms == 250 &&
              made.max_attempts == 0u && made.dead_letter == "failed" && made.max_messages == 8u &&
              made.max_bytes == 9u && made.on_full == OnFull::reject && made.retry->size() == 32);
        answer(create);
        const SentFrame update = socket.expect(FrameType::queue_update);
        const auto changed = update.as<wire::QueueUpdate>().options;
        check(changed.count() == 5 && changed.paused == 0x20 && changed.dead_letter == "" &&
              changed.max_messages == 0u && changed.retry->empty() &&
              changed.group_rate == Rate{5, std::chrono::minutes(1)});
        answer(update);
        const SentFrame missing = socket.expect(FrameType::queue_update);
        socket.write(encode(wire::ErrorFrame{ErrorCode::no_such_queue, 0, 0, "gone"},
                            missing.header.correlation));
    });
    Client client = peer.connect();
    const auto info = client.create_queue("orders");
    REQUIRE(info.has_value());
    CHECK(info->dying == 4);
    CHECK(info->delayed == 3);
    CHECK(info->options.durability == Durability::disk);
    CHECK(info->options.max_attempts == 5);
    CHECK(info->options.dead_letter == "");
    CHECK(info->dead_letter_queue() == "orders.dead");
    CHECK(info->options.max_messages == 6);
    CHECK(info->options.max_bytes == 7);
    CHECK(info->options.on_full == OnFull::drop_oldest);
    CHECK(info->options.publishing_paused == false);
    CHECK(info->options.consuming_paused == true);
    CHECK(info->options.priorities == true);
    CHECK(info->options.group_rate == Rate{100, std::chrono::hours(1)});
    CHECK(info->next_like(first_of_level(10)) == MessageNumber(5));
    CHECK(info->given_out_since(*info) == 0);
    CHECK((info->options.retry == Delays{std::chrono::seconds(1), std::chrono::hours(1)}));
    const QueueOptions said{
        Durability::written, std::chrono::milliseconds(250),         0, "failed", 8, 9,
        OnFull::reject,      Delays(32, std::chrono::hours(30 * 24))};
    CHECK(client.create_queue("orders", said).has_value());
    QueueOptions change;
    change.dead_letter = "";
    change.max_messages = 0;
    change.retry.emplace();
    change.group_rate = Rate{5, std::chrono::minutes(1)};
    change.consuming_paused = false;
    CHECK(client.update_queue("orders", change).has_value());
    CHECK(client.update_queue("orders", {}).error().code == ErrorCode::no_such_queue);

    // What cannot be meant does not travel.
    change.dead_letter = "a b";
    CHECK(client.update_queue("orders", change).error().code == ErrorCode::bad_option);
    CHECK(client.update_queue("a b", {}).error().code == ErrorCode::bad_name);
    change.dead_letter.reset();
    for (const Delays& delays :
         {Delays(33), Delays{std::chrono::milliseconds(-1)},
          Delays{std::chrono::hours(30 * 24) + std::chrono::milliseconds(1)}}) {
        change.retry = delays;
        CHECK(client.update_queue("orders", change).error().code == ErrorCode::bad_option);
    }
    change.retry.reset();
    for (const Rate& rate : {Rate{1'000'001}, Rate{1, std::chrono::seconds(0)},
                             Rate{1, std::chrono::seconds(-1)}, Rate{1, std::chrono::hours(2)}}) {
        change.group_rate = rate;
        CHECK(client.update_queue("orders", change).error().code == ErrorCode::bad_option);
    }
    change.group_rate.reset();
    change.lease = std::chrono::milliseconds(1);
    CHECK(client.update_queue("orders", change).error().code == ErrorCode::bad_option);
    peer.join();
}

TEST_CASE("client: a delayed message is peeked at with the time at which it will be ready") {
    const WallTime due = wire::from_micros(1'763'712'123'000'123);
    Peer peer([&](PeerSocket& socket) {
        const SentFrame peek = socket.expect(FrameType::peek);
        const auto batch = encode_batch({"a"});
        wire::PeekReply reply{MessageNumber(3), false, {}};
        const wire::Deliver first{MessageNumber(1), WallTime(), 1, 0, {1, 2, 3}, batch};
        const wire::Deliver second{MessageNumber(2), WallTime(), 1, 0, {1, 2, 3}, batch};
        reply.runs = {{wire::MessageState::delayed, first, due},
                      {wire::MessageState::ready, second, {}}};
        socket.write(encode(reply, peek.header.correlation));
    });
    Client client = peer.connect();
    const auto page = client.peek("a", MessageNumber(1), 10);
    REQUIRE(page.has_value());
    REQUIRE(page->messages.size() == 2);
    CHECK(page->messages[0].state == MessageState::delayed);
    CHECK(page->messages[0].due == due);
    CHECK(page->messages[1].state == MessageState::ready);
    CHECK_FALSE(page->messages[1].due);
    peer.join();
}

TEST_CASE("client: messages are deleted by range, in as many requests as that takes") {
    std::vector<MessageRange> many;
    for (std::uint64_t i = 0; i <= wire::ranges_max; ++i) {
        many.push_back({MessageNumber(2 * i + 1), 1});
    }
    Peer peer([&](PeerSocket& socket) {
        std::vector<MessageRange> asked;
        for (const std::uint64_t count : {std::uint64_t{wire::ranges_max}, std::uint64_t{1}}) {
            const SentFrame frame = socket.expect(FrameType::messages_delete);
            const auto request = frame.as<wire::MessagesDelete>();
            if (request.queue != "orders" || request.incarnation != QueueId(3) ||
                request.ranges.size() != count) {
                throw std::runtime_error("another request");
            }
            for (const MessageRange& range : to_vector(request.ranges)) {
                asked.push_back(range);
            }
            socket.write(encode(wire::Done{count - 1}, frame.header.correlation));
        }
        if (asked != many) {
            throw std::runtime_error("other ranges");
        }
        const SentFrame other = socket.expect(FrameType::messages_delete);
        socket.write(encode(wire::ErrorFrame{ErrorCode::no_such_queue, 0, 0, "incarnation 4 now"},
                            other.header.correlation));
    });
    Client client = peer.connect();
    const auto deleted = client.delete_messages("orders", QueueId(3), many);
    REQUIRE(deleted.has_value());
    CHECK(*deleted == wire::ranges_max - 1);
    CHECK(*client.delete_messages("orders", QueueId(3), {}) == 0);
    const std::vector<MessageRange> one{{MessageNumber(1), 1}};
    CHECK(client.delete_messages("orders", QueueId(3), one).error().code ==
          ErrorCode::no_such_queue);
    // What cannot be meant does not travel.
    CHECK(client.delete_messages("a b", QueueId(3), one).error().code == ErrorCode::bad_name);
    for (const MessageRange bad : {MessageRange{MessageNumber(0), 1},
                                   {MessageNumber(1), 0},
                                   {MessageNumber(2), UINT64_MAX - 1}}) {
        const std::vector<MessageRange> ranges{{MessageNumber(1), 1}, bad};
        CHECK(client.delete_messages("orders", QueueId(3), ranges).error().code ==
              ErrorCode::bad_option);
    }
    peer.join();
}

TEST_CASE("client: a backup is taken part by part, and its files have harmless names") {
    const std::vector<std::string> bad_names{"",    ".",  "..",  "../x", "/x",
                                             "a/b", ".x", "a.b", "a b"};
    const std::vector<std::byte> bytes(3, std::byte{7});
    Peer peer([&](PeerSocket& socket) {
        const SentFrame backup = socket.expect(FrameType::backup);
        socket.write(encode(wire::BackupReply{2, 5}, backup.header.correlation));
        const SentFrame first = socket.expect(FrameType::backup_next);
        const SentFrame second = socket.expect(FrameType::backup_next);
        socket.write(encode(wire::BackupPart{wire::BackupEnd::backup, 4096, "segment-1", bytes},
                            first.header.correlation));
        socket.write(encode(wire::ErrorFrame{ErrorCode::no_backup, 0, 0, "over"},
                            second.header.correlation));
        for (const std::string& name : bad_names) {
            const SentFrame next = socket.expect(FrameType::backup_next);
            socket.write(encode(wire::BackupPart{wire::BackupEnd::none, 0, name, bytes},
                                next.header.correlation));
        }
        (void)socket.expect(FrameType::backup);  // and the connection ends without an answer
    });
    {
        Client client = peer.connect();
        const auto take_part = [&](BackupRequest& request) {
            for (;;) {
                auto part = client.take_backup_part(request);
                if (!part || *part) {
                    return part;
                }
                REQUIRE(client.process(forever).has_value());
            }
        };
        auto backup = client.begin_backup();
        REQUIRE(backup.has_value());
        std::optional<BackupSize> size;
        while (!size) {
            auto taken = client.take_backup(*backup);
            REQUIRE(taken.has_value());
            size = *taken;
            REQUIRE((size || client.process(forever).has_value()));
        }
        CHECK(size->files == 2);
        CHECK(size->bytes == 5);
        CHECK(client.take_backup(*backup).error().code == ErrorCode::usage);
        auto first = client.begin_backup_part();
        auto second = client.begin_backup_part();
        const auto part = take_part(*first);
        REQUIRE(part.has_value());
        CHECK((*part)->file == "segment-1");
        CHECK((*part)->offset == 4096);
        CHECK(((*part)->bytes == bytes));
        CHECK((*part)->ends_file);
        CHECK((*part)->ends_backup);
        CHECK(take_part(*second).error().code == ErrorCode::no_backup);
        for (const std::string& name : bad_names) {
            CAPTURE(name);
            auto next = client.begin_backup_part();
            REQUIRE(next.has_value());
            CHECK(take_part(*next).error().code == ErrorCode::protocol_violation);
        }
        auto unanswered = client.begin_backup();
        while (client.connected()) {
            (void)client.process(forever);
        }
        CHECK(client.take_backup(*unanswered).error().code == ErrorCode::disconnected);
        CHECK(client.begin_backup_part().error().code == ErrorCode::disconnected);
    }
    peer.join();
}

}  // namespace
}  // namespace mqd::client
