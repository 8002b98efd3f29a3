#include "client/mqctl/options.hpp"

#include <doctest/doctest.h>

#include "client/mqctl/not_built.hpp"
#include "mqctl/parsing.hpp"

namespace mqd::mqctl {
namespace {

using namespace std::chrono_literals;

TEST_CASE("options: everything behind the first -- is literal") {
    const Arguments arguments{"a", "--b", "--", "--c", "--", "d"};
    const SplitArguments split = split_at_separator(arguments);
    CHECK(split.options == Arguments{"a", "--b"});
    CHECK(split.literal == Arguments{"--c", "--", "d"});
    CHECK(split.separated);

    const SplitArguments whole = split_at_separator(Arguments{"a"});
    CHECK(whole.options == Arguments{"a"});
    CHECK(whole.literal.empty());
    CHECK_FALSE(whole.separated);
}

TEST_CASE("options: a message may begin with dashes behind --") {
    const CommandLine line = accepted({"publish", "orders", "--", "--x"});
    CHECK(line.command == Command::publish);
    CHECK(line.queue == "orders");
    CHECK(line.publish.source == Source::argument);
    CHECK(line.publish.argument == "--x");
    CHECK(accepted({"publish", "--", "orders", "-x"}).publish.argument == "-x");
}

TEST_CASE("options: operands are taken as they are") {
    for (const char* const message :
         {"[1,2]", "{\"a\":1}", "status", "queue", "", "a=b", "%%", "'quoted'", "\"x\""}) {
        CAPTURE(message);
        CHECK(accepted({"publish", "orders", message}).publish.argument == message);
    }
    const CommandLine line = accepted({"publish", "status", "peek"});
    CHECK(line.queue == "status");
    CHECK(line.publish.argument == "peek");
}

TEST_CASE("options: global options stand before or behind the command") {
    for (const Arguments& arguments :
         {Arguments{"-s", "unix:/a", "-o", "json", "-q", "-v", "--timeout", "250ms", "ping"},
          Arguments{"ping", "-s", "unix:/a", "-o", "json", "-q", "-v", "--timeout", "250ms"},
          Arguments{"ping", "-qv", "--server=unix:/a", "--output=json", "--timeout=250ms"}}) {
        const CommandLine line = accepted(arguments);
        CHECK(line.command == Command::ping);
        CHECK(line.global.url == "unix:/a");
        CHECK(line.global.output == "json");
        CHECK(line.global.quiet);
        CHECK(line.global.verbose);
        CHECK(line.global.timeout == 250ms);
        CHECK(line.global.timeout_given);
    }
    CHECK(accepted({"ping"}).global.timeout == 5s);
    CHECK_FALSE(accepted({"ping"}).global.timeout_given);
    CHECK(accepted({"queue", "list", "-o", "json"}).global.output == "json");
}

TEST_CASE("options: publish takes its messages from one source") {
    CHECK(accepted({"pub", "orders"}).publish.source == Source::whole_input);
    CHECK(accepted({"publish", "orders", "--lines"}).publish.source == Source::lines);
    CHECK(accepted({"publish", "orders", "-0"}).publish.source == Source::null_delimited);
    CHECK(accepted({"publish", "orders", "--null"}).publish.source == Source::null_delimited);
    CHECK(accepted({"publish", "orders", "--jsonl"}).publish.source == Source::json_lines);
    const CommandLine files = accepted({"publish", "-f", "a", "orders", "-f", "[b,c]"});
    CHECK(files.publish.source == Source::files);
    CHECK(files.publish.files == Arguments{"a", "[b,c]"});
    CHECK(files.queue == "orders");

    CHECK(mentions(refused({"publish", "orders", "x", "--lines"}), "exclude each other"));
    CHECK(mentions(refused({"publish", "orders", "--lines", "-0"}), "exclude each other"));
    CHECK(mentions(refused({"publish", "orders", "x", "y"}), "unexpected argument \"y\""));
    CHECK(mentions(refused({"publish"}), "needs the name of a queue"));
}

TEST_CASE("options: headers are cut at their first colon") {
    const CommandLine line = accepted(
        {"publish", "orders", "-H", "type:invoice", "-H", "url:http://a", "-H", "e:", "x"});
    using Headers = std::vector<std::pair<std::string, std::string>>;
    CHECK(line.publish.headers == Headers{{"type", "invoice"}, {"url", "http://a"}, {"e", ""}});
    CHECK(line.publish.argument == "x");
    CHECK(mentions(refused({"publish", "orders", "-H", "type", "x"}), "key:value"));
    CHECK(mentions(refused({"publish", "orders", "-H", ":v", "x"}), "key:value"));
    CHECK(accepted({"publish", "q", "-H", std::string(255, 'k') + ":v"}).publish.headers.size() ==
          1);
    (void)refused({"publish", "q", "-H", std::string(256, 'k') + ":v"});
    (void)refused({"publish", "q", "-H", "k:" + std::string(65'535, 'v')});
}

TEST_CASE("options: a message is published at once, after a delay, or when it is due") {
    const MessageOptions none = accepted({"publish", "a", "x"}).publish.message;
    CHECK(none.delay == 0ms);
    CHECK_FALSE(none.due);
    CHECK(accepted({"publish", "a", "--delay", "30s", "x"}).publish.message.delay == 30s);
    CHECK(accepted({"publish", "a", "--delay=1us", "x"}).publish.message.delay == 1ms);
    CHECK(accepted({"publish", "a", "--delay=0", "x"}).publish.message.delay == 0ms);
    CHECK(accepted({"publish", "a", "--delay=3652d"}).publish.message.delay == 24h * 3652);
    CHECK(accepted({"publish", "a", "--due", "2025-11-21T08:02:03Z", "x"}).publish.message.due ==
          WallTime(1'763'712'123s));
    CHECK(mentions(refused({"publish", "a", "--delay", "3653d", "x"}), "ten years"));
    CHECK(mentions(refused({"publish", "a", "--delay", "30", "x"}), "--delay: \"30\" is not a"));
    CHECK(mentions(refused({"publish", "a", "--due", "noon", "x"}), "--due: \"noon\" is not a"));
    CHECK(mentions(refused({"publish", "a", "--due", "2025-11-21T08:02:03Z", "--delay", "1s"}),
                   "exclude each other"));
}

TEST_CASE("options: a message has a priority from 0 to 9") {
    CHECK_FALSE(accepted({"publish", "a", "x"}).publish.message.priority);
    CHECK(accepted({"publish", "a", "--priority", "0", "x"}).publish.message.priority == 0u);
    CHECK(accepted({"publish", "a", "--priority=9", "x"}).publish.message.priority == 9u);
    for (const char* const priority : {"10", "-1", "high", "", "1.0"}) {
        CHECK(mentions(refused({"publish", "a", "--priority", priority, "x"}),
                       "is not a number from 0 to 9"));
    }
    CHECK(accepted({"queue", "create", "a", "--priorities"}).queue_options.priorities == true);
    CHECK_FALSE(accepted({"queue", "create", "a"}).queue_options.priorities);
    CHECK(accepted({"peek", "a", "--from", "5.1842"}).peek.from == first_of_level(5).plus(1841));
    CHECK(mentions(refused({"peek", "a", "--from", "x"}), "is not the number of a message"));
    CHECK(accepted({"delete", "jobs:3:9.7"}).message_ids ==
          std::vector<MessageId>{{"jobs", QueueId(3), first_of_level(1).plus(6)}});
}

TEST_CASE("options: a flag has no value, and the key of a group has bytes") {
    CHECK(refused({"queue", "create", "a", "--priorities=false"}) == "--priorities takes no value");
    CHECK(refused({"move", "a", "b", "--dry-run=no"}) == "--dry-run takes no value");
    CHECK(mentions(refused({"publish", "a", "--group", "", "b"}), "--group"));
    CHECK(accepted({"publish", "a", "--group", "k", "b"}).publish.group == "k");
}

TEST_CASE("options: messages are deleted by their ids, each once") {
    const CommandLine line = accepted({"delete", "orders:3:1842", "a.b-c:1:7", "orders:3:1842"});
    CHECK(line.command == Command::delete_messages);
    CHECK(line.message_ids == std::vector<MessageId>{{"orders", QueueId(3), MessageNumber(1842)},
                                                     {"a.b-c", QueueId(1), MessageNumber(7)}});
    CHECK_FALSE(line.yes);
    CHECK(accepted({"delete", "-y", "a:4294967295:18446744073709551615"}).yes);
    CHECK(mentions(refused({"delete"}), "needs the ids"));
    for (const char* const id :
         {"", "a", "a:1", "a:1:", "a::1", ":1:1", "a:0:1", "a:1:0", "a:1:2:3", "a:x:1", "a:1:-1",
          "a:4294967296:1", "a:1:18446744073709551616", "a b:1:1", "a:1:1 "}) {
        CAPTURE(id);
        CHECK(mentions(refused({"delete", "b:1:1", id}),
                       '"' + std::string(id) + "\" is not the id of a message"));
    }
}

TEST_CASE("options: consume takes one message unless told otherwise") {
    CHECK(accepted({"consume", "orders"}).consume.count == 1);
    CHECK(accepted({"sub", "orders", "-n", "10"}).consume.count == 10);
    CHECK_FALSE(accepted({"consume", "orders", "--follow"}).consume.count);
    CHECK_FALSE(accepted({"consume", "orders", "--drain"}).consume.count);
    CHECK(accepted({"consume", "orders", "--drain", "-n", "3"}).consume.count == 3);
    CHECK(accepted({"consume", "orders", "--wait", "5s"}).consume.wait == 5s);
    CHECK(accepted({"consume", "orders", "--lease", "2m"}).consume.lease == 2min);
    (void)refused({"consume", "orders", "-n", "0"});
    (void)refused({"consume", "orders", "-n", "1x"});
    (void)refused({"consume", "orders", "--wait", "5"});
    (void)refused({"consume", "orders", "--follow", "--drain"});
    (void)refused({"consume", "orders", "--follow", "--wait", "5s"});
}

TEST_CASE("options: consume says how it shares the queue") {
    CHECK(accepted({"consume", "orders"}).consume.sharing == Sharing::shared);
    CHECK(accepted({"consume", "orders", "--exclusive"}).consume.sharing == Sharing::exclusive);
    CHECK(accepted({"consume", "orders", "--single", "-n", "3"}).consume.sharing ==
          Sharing::single_active);
    (void)refused({"consume", "orders", "--single", "--exclusive"});

    const auto with_exec = [](Arguments arguments) {
        arguments.insert(arguments.begin(), {"consume", "orders", "--single"});
        arguments.insert(arguments.end(), {"--exec", "--", "cat"});
        return arguments;
    };
    CHECK(accepted(with_exec({"--follow"})).consume.sharing == Sharing::single_active);
    for (const Arguments& run : {Arguments{}, Arguments{"--drain"}, Arguments{"--wait", "1s"},
                                 Arguments{"--follow", "-n", "2"}}) {
        CHECK(mentions(refused(with_exec(run)), "--follow"));
    }
}

TEST_CASE("options: --exec takes the command behind --") {
    const CommandLine line = accepted(
        {"consume", "orders", "--follow", "-j", "4", "--exec", "--grace", "1s", "--", "./h", "-x"});
    CHECK(line.queue == "orders");
    CHECK(line.consume.exec == Arguments{"./h", "-x"});
    CHECK(line.consume.jobs == 4);
    CHECK(line.consume.grace == 1s);
    CHECK(accepted({"consume", "orders", "--exec", "--", "cat"}).consume.grace == 10s);
    CHECK(accepted({"consume", "orders", "--exec", "--", "cat"}).consume.max_run_time == 0s);
    CHECK(accepted({"consume", "orders", "--exec", "--max-run-time", "10m", "--", "cat"})
              .consume.max_run_time == 10min);
    CHECK_FALSE(line.consume.retry_delay);
    const auto delayed = [](const std::string& text) {
        return Arguments{"consume", "orders", "--exec", "--retry-delay", text, "--", "cat"};
    };
    CHECK(accepted(delayed("30s")).consume.retry_delay == 30s);
    CHECK(accepted(delayed("0")).consume.retry_delay == 0s);
    CHECK(accepted(delayed("49d")).consume.retry_delay == 24h * 49);
    CHECK(mentions(refused(delayed("50d")), "--retry-delay: at most 49d"));
    CHECK(mentions(refused({"consume", "orders", "--retry-delay", "1s"}), "belong to --exec"));
    CHECK(mentions(refused({"consume", "orders", "--exec"}), "needs a command"));
    (void)refused({"consume", "--exec", "--", "orders"});
    (void)refused({"consume", "orders", "-j", "2"});
    (void)refused({"consume", "orders", "-j", "1001", "--exec", "--", "cat"});
    (void)refused({"consume", "orders", "-o", "json", "--exec", "--", "cat"});
}

TEST_CASE("options: queue create is durable at disk unless told otherwise") {
    CHECK(accepted({"queue", "create", "a"}).queue_options.durability == Durability::disk);
    CHECK(accepted({"queue", "create", "a", "--memory"}).queue_options.durability ==
          Durability::memory);
    const CommandLine line =
        accepted({"queue", "create", "a", "--durability", "written", "--lease", "30s"});
    CHECK(line.queue_options.durability == Durability::written);
    CHECK(line.queue_options.lease == 30s);
    CHECK(line.queue == "a");
    (void)refused({"queue", "create", "a", "--memory", "--durability", "disk"});
    (void)refused({"queue", "create", "a", "--durability", "paper"});
    (void)refused({"queue", "create"});
}

TEST_CASE("options: queue create and update have the limits of a queue in common") {
    const CommandLine plain = accepted({"queue", "create", "a"});
    CHECK(!plain.queue_options.max_attempts.has_value());
    CHECK(!plain.queue_options.dead_letter.has_value());
    CHECK(plain.queue_options.on_full == OnFull::unspecified);
    for (const std::string verb : {"create", "update"}) {
        const CommandLine line =
            accepted({"queue", verb, "a", "--max-attempts", "0", "--dead-letter", "b",
                      "--max-messages", "7", "--max-bytes", "64KiB", "--on-full", "drop-oldest"});
        CHECK(line.queue_options.max_attempts == 0u);
        CHECK(line.queue_options.dead_letter == "b");
        CHECK(line.queue_options.max_messages == 7u);
        CHECK(line.queue_options.max_bytes == 65'536u);
        CHECK(line.queue_options.on_full == OnFull::drop_oldest);
        CHECK(accepted({"queue", verb, "a", "--dead-letter", ""}).queue_options.dead_letter == "");
        CHECK(accepted({"queue", verb, "a", "--on-full=reject"}).queue_options.on_full ==
              OnFull::reject);
        (void)refused({"queue", verb, "a", "--max-attempts", "4294967296"});
        (void)refused({"queue", verb, "a", "--max-messages", "many"});
        (void)refused({"queue", verb, "a", "--max-bytes", "1G"});
        (void)refused({"queue", verb, "a", "--on-full", "drop"});
        CHECK(accepted({"queue", verb, "a", "--on-full=dead-letter"}).queue_options.on_full ==
              OnFull::dead_letter);
        const CommandLine rendezvous =
            accepted({"queue", verb, "a", "--on-full=wait", "--max-messages=rendezvous"});
        CHECK(rendezvous.queue_options.on_full == OnFull::wait);
        CHECK(rendezvous.queue_options.max_messages == QueueOptions::rendezvous);
        (void)refused({"queue", verb, "a", "--max-messages", "18446744073709551615"});
    }
    CHECK(mentions(refused({"queue", "update", "a"}), "what to change"));
    CHECK(mentions(refused({"queue", "update", "a", "--durability", "disk"}), "--durability"));
}

TEST_CASE("options: times to live, of a message and of a queue") {
    CHECK(accepted({"publish", "a", "x", "--ttl", "1d"}).publish.message.ttl == 24h);
    CHECK(accepted({"publish", "a", "x"}).publish.message.ttl == 0s);
    for (const std::string bad : {"0", "none", "-1s", "5", "3653d"}) {
        CAPTURE(bad);
        (void)refused({"publish", "a", "x", "--ttl", bad});
    }
    for (const std::string verb : {"create", "update"}) {
        CHECK_FALSE(accepted({"queue", verb, "a", "--lease", "1s"}).queue_options.ttl);
        CHECK(accepted({"queue", verb, "a", "--ttl", "5m"}).queue_options.ttl == 5min);
        CHECK(accepted({"queue", verb, "a", "--ttl", "none"}).queue_options.ttl == 0s);
        CHECK(accepted({"queue", verb, "a", "--on-expired", "drop"}).queue_options.on_expired ==
              OnExpired::drop);
        CHECK(accepted({"queue", verb, "a", "--on-expired=dead-letter"}).queue_options.on_expired ==
              OnExpired::dead_letter);
        (void)refused({"queue", verb, "a", "--on-expired", "keep"});
        (void)refused({"queue", verb, "a", "--ttl", "3653d"});
    }
}

TEST_CASE("options: the rate of the groups of a queue, and none") {
    for (const std::string verb : {"create", "update"}) {
        const auto rate = [&](const std::string& text) {
            return *accepted({"queue", verb, "a", "--group-rate", text}).queue_options.group_rate;
        };
        CHECK(rate("10/s") == Rate{10, 1s});
        CHECK(rate("10") == Rate{10, 1s});
        CHECK(rate("3000/m") == Rate{3000, 1min});
        CHECK(rate("100/h") == Rate{100, 1h});
        CHECK(rate("1/d") == Rate{1, 24h});
        CHECK(rate("1000000/d") == Rate{1'000'000, 24h});
        CHECK(rate("none") == Rate{});
        for (const std::string bad : {"0", "0/s", "/s", "ten/s", "5/x", "5 /s", "1.5/s"}) {
            CAPTURE(bad);
            CHECK(refused({"queue", verb, "a", "--group-rate=" + bad}) ==
                  "--group-rate: \"" + bad + "\" is not a rate, as in 50/s, 3000/m, 100/h or 5/d");
        }
        CHECK(refused({"queue", verb, "a", "--group-rate=1000001/d"}) ==
              "--group-rate: at most 1000000 in any time");
        CHECK_FALSE(accepted({"queue", verb, "a", "--lease", "1s"}).queue_options.group_rate);
    }
}

TEST_CASE("options: the delays of a queue are a list") {
    using Delays = std::vector<std::chrono::milliseconds>;
    for (const std::string verb : {"create", "update"}) {
        const auto retry = [&](const std::string& text) {
            return *accepted({"queue", verb, "a", "--retry", text}).queue_options.retry;
        };
        CHECK((retry("1s,1.5m,250ms") == Delays{1s, 90s, 250ms}));
        CHECK((retry("0,0") == Delays{0s, 0s}));
        CHECK(retry("").empty());
        CHECK(retry("none").empty());
        for (const std::string bad : {",", "1s,", ",1s", "1s, 2s", "1s,none", "5", "-1s"}) {
            CAPTURE(bad);
            CHECK(refused({"queue", verb, "a", "--retry=" + bad}).find("--retry: ") == 0);
        }
    }
    CHECK(!accepted({"queue", "create", "a"}).queue_options.retry.has_value());
}

TEST_CASE("options: a queue is paused and resumed as a whole, or for one side") {
    for (const std::string verb : {"pause", "resume"}) {
        const bool paused = verb == "pause";
        const auto said = [&](const Arguments& flags) {
            Arguments arguments{"queue", verb, "a"};
            arguments.insert(arguments.end(), flags.begin(), flags.end());
            return accepted(arguments).queue_options;
        };
        for (const Arguments& both : {Arguments{}, Arguments{"--publishing", "--consuming"}}) {
            CHECK(said(both).publishing_paused == paused);
            CHECK(said(both).consuming_paused == paused);
        }
        CHECK(said({"--publishing"}).publishing_paused == paused);
        CHECK(!said({"--publishing"}).consuming_paused.has_value());
        CHECK(said({"--consuming"}).consuming_paused == paused);
        CHECK(!said({"--consuming"}).publishing_paused.has_value());
        (void)refused({"queue", verb});
        (void)refused({"queue", verb, "a", "--lease", "1s"});
    }
    CHECK(accepted({"queue", "pause", "a"}).command == Command::queue_pause);
    CHECK(accepted({"queue", "resume", "a"}).command == Command::queue_resume);
}

TEST_CASE("options: dead letters are those of a queue") {
    CHECK(accepted({"dead", "list", "a"}).command == Command::dead_list);
    CHECK(accepted({"dead", "list", "a", "-o", "json"}).queue == "a");
    CHECK(accepted({"dead", "purge", "a", "-y"}).yes);
    CHECK(!accepted({"dead", "retry", "a"}).dead.count.has_value());
    CHECK(accepted({"dead", "retry", "a", "-n", "7"}).dead.count == 7u);
    (void)refused({"dead", "retry", "a", "-n", "0"});
    (void)refused({"dead", "list"});
    CHECK(mentions(refused({"dead"}), "list, purge, retry"));
    CHECK(mentions(refused({"dead", "lst", "a"}), "did you mean \"dead list\"?"));
}

TEST_CASE("options: peek begins with the first message and shows one") {
    CHECK(accepted({"peek", "a"}).peek.count == 1);
    CHECK(accepted({"peek", "a"}).peek.from == MessageNumber(1));
    const CommandLine line = accepted({"peek", "a", "-n", "7", "--from", "1842"});
    CHECK(line.peek.count == 7);
    CHECK(line.peek.from == MessageNumber(1842));
}

TEST_CASE("options: export writes to standard output or to a file that is not there yet") {
    const CommandLine line = accepted({"export", "a"});
    CHECK(line.command == Command::export_messages);
    CHECK(line.queue == "a");
    CHECK(line.export_messages.file.empty());
    CHECK_FALSE(line.export_messages.force);
    CHECK(accepted({"export", "a", "-f", "-"}).export_messages.file.empty());
    CHECK(accepted({"export", "a", "--file=b", "-o", "json"}).export_messages.file == "b");
    CHECK(accepted({"export", "-f", "b", "--force", "a"}).export_messages.force);
    (void)refused({"export"});
    (void)refused({"export", "a", "b"});
    (void)refused({"export", "a", "-f", ""});
    CHECK(mentions(refused({"export", "a", "--force"}), "--force belongs to -f"));
    CHECK(mentions(refused({"export", "a", "-o", "text"}), "lines of JSON only"));
    (void)refused({"export", "a", "-o", "%b"});
}

TEST_CASE("options: import is publish of lines of JSON, without ids") {
    const CommandLine line = accepted({"import", "a"});
    CHECK(line.command == Command::import_messages);
    CHECK(line.queue == "a");
    CHECK(line.publish.source == Source::json_lines);
    CHECK(line.publish.files.empty());
    CHECK_FALSE(line.publish.ids);
    CHECK(accepted({"publish", "a", "--jsonl"}).publish.ids);
    CHECK(accepted({"import", "a", "-f", "-"}).publish.files.empty());
    CHECK(accepted({"import", "a", "-f", "b"}).publish.files == Arguments{"b"});
    CHECK(accepted({"import", "a", "--durability", "memory"}).publish.durability ==
          Durability::memory);
    (void)refused({"import"});
    (void)refused({"import", "a", "b"});
    (void)refused({"import", "a", "--durability", "paper"});
}

TEST_CASE("options: queue apply takes one file, or standard input") {
    const CommandLine line = accepted({"queue", "apply", "q.toml", "--dry-run", "--prune", "-y"});
    CHECK(line.command == Command::queue_apply);
    CHECK(line.apply.file == "q.toml");
    CHECK(line.apply.dry_run);
    CHECK(line.apply.prune);
    CHECK(line.yes);
    const CommandLine plain = accepted({"queue", "apply", "-"});
    CHECK(plain.apply.file.empty());
    CHECK_FALSE(plain.apply.dry_run);
    CHECK_FALSE(plain.apply.prune);
    CHECK(accepted({"queue", "apply", "--", "--odd.toml"}).apply.file == "--odd.toml");
    CHECK(mentions(refused({"queue", "apply"}), "needs one file"));
    (void)refused({"queue", "apply", "a", "b"});
    (void)refused({"queue", "apply", ""});
    (void)refused({"queue", "apply", "a", "-o", "raw"});
}

TEST_CASE("options: an output is text, json, raw or a format") {
    CHECK(accepted({"consume", "a", "-o", "%i %b\\n"}).global.output == "%i %b\\n");
    (void)refused({"consume", "a", "-o", "jsn"});
    (void)refused({"consume", "a", "-o", "%z"});
    (void)refused({"queue", "list", "-o", "raw"});
    (void)refused({"status", "-o", "%i"});
}

TEST_CASE("options: what is unknown is named, with what was perhaps meant") {
    CHECK(mentions(refused({"publsh", "a"}), "did you mean \"publish\"?"));
    CHECK(mentions(refused({"queue", "lst"}), "did you mean \"queue list\"?"));
    CHECK(mentions(refused({"xyzzy"}), "--help"));
    CHECK(mentions(refused({}), "which command"));
    CHECK(mentions(refused({"queue"}), "list, show, create"));
    CHECK(mentions(refused({"consume", "a", "--bogus"}), "unknown option --bogus"));
    CHECK(mentions(refused({"--bogus", "consume", "a"}), "--bogus"));
    CHECK(mentions(refused({"consume", "a", "--folow"}), "did you mean \"--follow\"?"));
    CHECK(mentions(refused({"consume", "a", "--leese=1s"}), "did you mean \"--lease\"?"));
    CHECK(mentions(refused({"ping", "--timeut", "1s"}), "did you mean \"--timeout\"?"));
    CHECK(mentions(refused({"--qiet"}), "did you mean \"--quiet\"?"));
    CHECK(mentions(refused({"ping", "-x"}), "unknown option -x (mqctl ping --help lists them"));
    (void)refused({"-s"});
}

TEST_CASE("options: what is not built yet is refused by its name") {
    CHECK(refused({"publish", "a", "--reply-to=b", "x"}) == "--reply-to is not built yet");
    for (const std::string_view command : commands_not_built()) {
        Arguments arguments{std::string(command), "--any", "-x", "thing"};
        if (command.starts_with("queue ")) {
            arguments[0] = command.substr(6);
            arguments.insert(arguments.begin(), "queue");
        }
        CHECK(refused(arguments) == std::string(command) + " is not built yet");
    }
    for (const std::string_view option : options_not_built()) {
        CHECK(refused({"publish", "a", "x", std::string(option), "1"}) ==
              std::string(option) + " is not built yet");
    }
    CHECK(accepted({"publish", "a", "--", "--ttl"}).publish.argument == "--ttl");
}

TEST_CASE("options: help is no mistake") {
    for (const Arguments& arguments : {Arguments{"--help"}, Arguments{"publish", "-h"},
                                       Arguments{"queue", "create", "--help"}}) {
        const ParseOutcome outcome = parse_command_line(arguments);
        CHECK_FALSE(outcome.command_line);
        CHECK(outcome.exit == ExitCode::done);
        CHECK(outcome.complaint.empty());
        CHECK(mentions(outcome.out, "Usage: mqctl"));
    }
    CHECK(mentions(parse_command_line({"queue", "create", "-h"}).out,
                   "Usage: mqctl queue create QUEUE"));
    CHECK_FALSE(mentions(parse_command_line({"--help"}).out, "bench"));
}

TEST_CASE("options: the version and the help may be asked for either way") {
    CHECK(accepted({"version"}).command == Command::version);
    CHECK(accepted({"--version"}).command == Command::version);
    CHECK(accepted({"-o", "json", "--version"}).global.output == "json");
    CHECK(parse_command_line({"help"}).out == parse_command_line({"--help"}).out);
    CHECK(parse_command_line({"help", "consume"}).out ==
          parse_command_line({"consume", "--help"}).out);
    CHECK(parse_command_line({"help", "queue", "create"}).out ==
          parse_command_line({"queue", "create", "-h"}).out);
}

}  // namespace
}  // namespace mqd::mqctl
