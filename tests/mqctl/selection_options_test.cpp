// Which messages a command is about, as the command line says it.

#include <doctest/doctest.h>

#include "client/mqctl/message_selection.hpp"
#include "client/mqctl/options.hpp"
#include "mqctl/parsing.hpp"

namespace mqd::mqctl {
namespace {

using namespace std::chrono_literals;
using Pairs = std::vector<std::pair<std::string, std::string>>;

TEST_CASE("selection: a filter is cut at its first equals sign") {
    for (const Arguments& command :
         {Arguments{"peek", "a"}, Arguments{"queue", "purge", "a"}, Arguments{"move", "a", "b"}}) {
        Arguments arguments = command;
        arguments.insert(arguments.end(), {"--filter", "type=invoice", "--filter=x=1=2", "--filter",
                                           "empty=", "--older", "1h", "--newer=2d"});
        const CommandLine line = accepted(arguments);
        CHECK(line.selection.headers == Pairs{{"type", "invoice"}, {"x", "1=2"}, {"empty", ""}});
        CHECK(line.selection.older == 1h);
        CHECK(line.selection.newer == 48h);
    }
    CHECK(accepted({"peek", "a"}).selection.headers.empty());
}

TEST_CASE("selection: a filter that does not parse is named, with the place") {
    CHECK(refused({"peek", "a", "--filter", "type"}) ==
          "--filter \"type\": '=' is missing behind character 4 (KEY=VALUE)");
    CHECK(refused({"move", "a", "b", "--filter", "=v"}) ==
          "--filter \"=v\": the key is missing before character 1 (KEY=VALUE)");
    CHECK(mentions(refused({"peek", "a", "--filter", std::string(256, 'k') + "=v"}), "255 bytes"));
    Arguments many{"peek", "a"};
    for (int i = 0; i < 17; ++i) {
        many.insert(many.end(), {"--filter", "k=v"});
    }
    CHECK(mentions(refused(many), "at most 16"));
    CHECK(mentions(refused({"peek", "a", "--older", "soon"}), "--older: "));
    CHECK(mentions(refused({"peek", "a", "--older", "2h", "--newer", "1h"}), "is nothing"));
    CHECK(mentions(refused({"consume", "a", "--filter", "k=v"}), "unknown option --filter"));
}

TEST_CASE("selection: states, and where to begin") {
    const CommandLine line =
        accepted({"peek", "a", "--state", "delayed", "--state=dying", "--from", "a:3:1842"});
    CHECK(line.selection.states ==
          std::vector<MessageState>{MessageState::delayed, MessageState::dying});
    CHECK(line.peek.from == MessageNumber(1842));
    CHECK(line.peek.incarnation == QueueId(3));
    CHECK(mentions(refused({"peek", "a", "--state", "gone"}), "\"gone\" is none of ready"));
    CHECK(mentions(refused({"peek", "a", "--from", "b:3:1842"}), "not of \"a\""));
    CHECK(mentions(refused({"peek", "a", "--from", "a:3"}), "is not the id of a message"));
    CHECK(mentions(refused({"peek", "a", "--from", "0"}), "is not the number of a message"));
}

TEST_CASE("selection: move has two queues, a limit and a rate") {
    const CommandLine line = accepted({"move", "a", "b", "-n", "7", "--rate", "50/s"});
    CHECK(line.command == Command::move_messages);
    CHECK(line.queue == "a");
    CHECK(line.move.target == "b");
    CHECK(line.move.count == 7u);
    CHECK(line.move.per_second == 50.0);
    CHECK(accepted({"move", "a", "b", "--rate", "120/m"}).move.per_second == 2.0);
    CHECK(accepted({"move", "a", "b", "--rate", "5"}).move.per_second == 5.0);
    CHECK_FALSE(accepted({"move", "a", "b"}).move.per_second);
    CHECK(accepted({"move", "a", "b", "--dry-run"}).dry_run);
    for (const char* const rate :
         {"", "0", "0/s", "/s", "5/x", "5/", "-5/s", "1e3", "9999999999"}) {
        CAPTURE(rate);
        CHECK(mentions(refused({"move", "a", "b", std::string("--rate=") + rate}), "--rate"));
    }
    CHECK(mentions(refused({"move", "a"}), "two queues"));
    CHECK(mentions(refused({"move", "a", "b", "c"}), "two queues"));
    CHECK(mentions(refused({"move", "a", "a"}), "different"));
}

TEST_CASE("selection: in words, and with ages counted from a time") {
    SelectionOptions said;
    CHECK(describe(said).empty());
    said.headers = {{"type", "invoice"}, {"x", ""}};
    said.older = 1h;
    CHECK(describe(said) == "with type=invoice, x=, older than 1h");
    said.newer = 24h;
    const WallTime now(std::chrono::hours(1000));
    const MessageFilter filter = filter_of(said, now);
    CHECK(filter.published_before == now - 1h);
    CHECK(filter.published_from == now - 24h);
    PeekedMessage message;
    message.published = now - 2h;
    message.headers = said.headers;
    CHECK(filter.lets_through(message));
    message.published = now - 1h;
    CHECK_FALSE(filter.lets_through(message));
    message.published = now - 2h;
    message.headers.pop_back();
    CHECK_FALSE(filter.lets_through(message));
}

TEST_CASE("selection: queues that end by themselves") {
    CHECK(accepted({"queue", "create", "a", "--expire-idle", "1h"}).queue_options.expire_idle ==
          1h);
    CHECK(accepted({"queue", "update", "a", "--expire-idle=0"}).queue_options.expire_idle == 0ms);
    CHECK_FALSE(accepted({"queue", "create", "a"}).queue_options.expire_idle);
    CHECK(mentions(refused({"queue", "create", "a", "--expire-idle", "9999d"}), "ten years"));
}

TEST_CASE("selection: the history of messages, and why") {
    const auto create = accepted({"queue", "create", "a", "--history", "1000"});
    CHECK(create.queue_options.history == 1000u);
    CHECK_FALSE(create.queue_options.history_time);
    CHECK(accepted({"queue", "update", "a", "--history-time", "2h"}).queue_options.history_time ==
          2h);
    CHECK(accepted({"queue", "update", "a", "--history-time=none"}).queue_options.history_time ==
          0ms);
    CHECK(mentions(refused({"queue", "create", "a", "--history", "1000001"}), "--history"));
    CHECK(mentions(refused({"queue", "create", "a", "--history-time", "9999d"}), "ten years"));
    CHECK(accepted({"why", "a:1:2"}).message_ids.front() ==
          MessageId{"a", QueueId(1), MessageNumber(2)});
    CHECK(mentions(refused({"why"}), "the id of one message"));
    CHECK(mentions(refused({"why", "a:1:2", "a:1:3"}), "the id of one message"));
    CHECK(mentions(refused({"why", "a:1"}), "not the id of a message"));
}

TEST_CASE("selection: queues that know ids, and the id of a message") {
    const auto said =
        accepted({"queue", "create", "a", "--dedup-window", "10m", "--dedup-count", "5"})
            .queue_options;
    CHECK(said.dedup_window == 10min);
    CHECK(said.dedup_count == 5u);
    CHECK(accepted({"queue", "update", "a", "--dedup-window=none"}).queue_options.dedup_window ==
          0ms);
    CHECK(mentions(refused({"queue", "create", "a", "--dedup-window", "9999d"}), "ten years"));
    CHECK(mentions(refused({"queue", "create", "a", "--dedup-count", "0"}), "--dedup-count"));
    CHECK(mentions(refused({"queue", "create", "a", "--dedup-count", "16777217"}), "16777216"));
    CHECK(accepted({"publish", "a", "--id", "k", "b"}).publish.dedup_id == "k");
    CHECK(mentions(refused({"publish", "a", "--id", "", "b"}), "--id"));
    CHECK(mentions(refused({"publish", "a", "--id", std::string(129, 'x'), "b"}), "128"));
    CHECK(mentions(refused({"publish", "a", "--id", "k", "--lines"}), "one message"));
}

}  // namespace
}  // namespace mqd::mqctl
