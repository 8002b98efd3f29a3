// What a backlog costs: messages published at `disk` to a queue that nobody reads, how much memory
// the daemon takes meanwhile, what a SIGKILL then costs until the first message is delivered, and
// how fast it drains. The rate beside a consumer that keeps up is measured first, in the same run.
//
//     mqd-bench-backlog --mqd PROGRAM --folder FOLDER [--messages N] [--memory SIZE] [--json]
//     mqd-bench-backlog … --queues N      so many queues with ten messages each; publishing
//                                         round-robin to a tenth of them, against one
//     mqd-bench-backlog … --beside        a busy queue, alone and beside a consumer that reads an
//                                         old backlog (of --messages), seven pairs of runs with
//                                         a hundredth of it each
//     mqd-bench-backlog … --state N       so many messages leased or acked out of order, among
//                                         10,000 queues: the longest turn of the loop

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/failure.hpp"
#include "bench/message.hpp"
#include "bench/mqd_daemon.hpp"
#include "client/connection.hpp"
#include "client/socket.hpp"
#include "client/url.hpp"
#include "mqd/client.hpp"

namespace mqd::bench {

namespace {

constexpr std::uint64_t unconfirmed_max = 1000;
constexpr std::uint32_t unacked_max = 10'000;
constexpr std::chrono::milliseconds memory_sampled_every{20};
constexpr std::uint64_t round_robin_messages = 2'000'000;
constexpr std::uint64_t round_robin_unconfirmed = 10;  // per queue, at least
constexpr std::uint64_t messages_each = 10;            // of many queues
constexpr std::uint64_t pipelined_queues = 500;
constexpr int pairs = 7;  // of runs that are compared

struct Options {
    std::string program;
    std::string folder;
    std::uint64_t messages = 10'000'000;
    std::string memory = "32MiB";
    std::uint64_t queues = 0;
    std::uint64_t state = 0;
    bool beside = false;
    bool json = false;
};

struct Figure {
    std::string name;
    double value = 0;
    std::string unit;
};

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

template <typename T>
T take(Result<T> result, const char* what) {
    if (!result) {
        fail(std::string(what) + ": " + result.error().text);
    }
    return *std::move(result);
}
void take(const Result<void>& result, const char* what) {
    if (!result) {
        fail(std::string(what) + ": " + result.error().text);
    }
}

Client connect(const MqdDaemon& daemon) {
    return take(Client::connect(daemon.url(Transport::unix_socket)), "connecting");
}

// The most that was resident while it lived.
class MemoryGauge {
  public:
    explicit MemoryGauge(const ServerProcess& process)
        : thread_([this, &process](const std::stop_token& end) {
              while (!end.stop_requested()) {
                  most_kib_ = std::max(most_kib_.load(), process.resident_kib());
                  std::this_thread::sleep_for(memory_sampled_every);
              }
          }) {}
    [[nodiscard]] double most_mib() const { return most_kib_ / 1024; }

  private:
    std::atomic<double> most_kib_{0};
    std::jthread thread_;
};

// Messages a second. The first field of a body is its place in the queue.
double publish(const MqdDaemon& daemon, const std::string& queue, std::uint64_t messages) {
    Client client = connect(daemon);
    Producer producer = take(client.producer(queue), "opening a producer");
    MessageBody body;
    const auto begin = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < messages; ++i) {
        if (producer.unconfirmed() >= unconfirmed_max) {
            take(producer.wait_unconfirmed(unconfirmed_max - 1), "waiting for confirms");
        }
        const auto& bytes = body.with({.sequence = i});
        (void)take(producer.send({reinterpret_cast<const char*>(bytes.data()), bytes.size()}),
                   "publishing");
    }
    take(producer.wait_all(), "waiting for confirms");
    return static_cast<double>(messages) / seconds_since(begin);
}

// Takes and acks so many, which come in order. Calls `first` when the first one is there.
double consume(const MqdDaemon& daemon, const std::string& queue, std::uint64_t messages,
               const std::function<void()>& first = {}) {
    Client client = connect(daemon);
    ConsumerOptions options;
    options.window_messages = unacked_max;
    Consumer consumer = take(client.consumer(queue, options), "opening a consumer");
    auto begin = std::chrono::steady_clock::now();
    for (std::uint64_t next = 0; next < messages;) {
        const auto batch = take(consumer.receive_batch(), "receiving");
        if (!batch) {
            continue;
        }
        if (next == 0) {
            if (first) {
                first();
            }
            begin = std::chrono::steady_clock::now();
        }
        for (const Delivery& delivery : *batch) {
            if (read_head(delivery.bytes().data()).sequence != next) {
                fail("message " + std::to_string(next) + " did not come in its place");
            }
            ++next;
        }
        take(consumer.ack(batch->range), "acking");
    }
    take(client.flush(), "flushing the acks");
    const double rate = static_cast<double>(messages) / seconds_since(begin);
    take(client.close(), "closing");
    return rate;
}

std::uint64_t bytes_of_files(const MqdDaemon& daemon, const std::string& prefix) {
    std::uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(daemon.data_folder())) {
        if (entry.path().filename().string().starts_with(prefix)) {
            bytes += entry.file_size();
        }
    }
    return bytes;
}

std::vector<Figure> measure_backlog(const Options& options) {
    MqdDaemonOptions how;
    how.program = options.program;
    how.folder = options.folder;
    how.storage = "memory = \"" + options.memory + "\"\n";
    const auto daemon = take(MqdDaemon::start(how), "starting");
    std::vector<Figure> figures;
    const auto add = [&](std::string name, double value, std::string unit) {
        figures.push_back({std::move(name), value, std::move(unit)});
    };

    take(daemon->create_queue("beside", Durability::disk), "creating a queue");
    take(daemon->create_queue("backlog", Durability::disk), "creating a queue");
    daemon->process().await_quiet();
    const std::uint64_t some = std::max<std::uint64_t>(options.messages / 5, 1000);
    double kept_up = 0;
    {
        const auto consumer =
            std::async(std::launch::async, [&] { (void)consume(*daemon, "beside", some); });
        kept_up = publish(*daemon, "beside", some);
    }
    add("publish_beside_consumer", kept_up, "messages/s");

    const double payload = static_cast<double>(options.messages) * body_bytes;
    {
        const MemoryGauge gauge(daemon->process());
        const double rate = publish(*daemon, "backlog", options.messages);
        add("publish", rate, "messages/s");
        add("publish_ratio", rate / kept_up, "of beside a consumer");
        daemon->process().await_quiet();
        add("resident_max", gauge.most_mib(), "MiB");
    }
    add("segments", static_cast<double>(bytes_of_files(*daemon, "segment-")) / payload,
        "of the payload");
    add("journal", static_cast<double>(bytes_of_files(*daemon, "journal-")) / (1 << 20), "MiB");

    const auto killed = std::chrono::steady_clock::now();
    take(daemon->kill_and_restart(), "starting again");
    add("start", static_cast<double>(daemon->start_time().count()) / 1e6, "ms to the greeting");
    double first_ms = 0;
    const MemoryGauge gauge(daemon->process());
    const double drained = consume(*daemon, "backlog", options.messages,
                                   [&] { first_ms = seconds_since(killed) * 1e3; });
    add("first_message", first_ms, "ms from exec");
    add("drain", drained, "messages/s with acks");
    add("drain_resident_max", gauge.most_mib(), "MiB");
    daemon->process().await_quiet();
    add("segments_left", static_cast<double>(bytes_of_files(*daemon, "segment-")), "bytes");
    return figures;
}

std::string queue_name(std::uint64_t i) {
    return "queue-" + std::to_string(i);
}

// One message to each in turn, over one connection.
double publish_round_robin(const MqdDaemon& daemon, const std::vector<std::string>& queues,
                           std::uint64_t messages) {
    Client client = connect(daemon);
    std::vector<Producer> producers;
    producers.reserve(queues.size());
    for (const std::string& queue : queues) {
        producers.push_back(take(client.producer(queue), "opening a producer"));
    }
    MessageBody body;
    const auto begin = std::chrono::steady_clock::now();
    const std::uint64_t each =
        std::max<std::uint64_t>(round_robin_unconfirmed, unconfirmed_max / queues.size());
    for (std::uint64_t i = 0; i < messages; ++i) {
        Producer& producer = producers[i % producers.size()];
        if (producer.unconfirmed() >= each) {
            take(producer.wait_unconfirmed(each - 1), "waiting for confirms");
        }
        const auto& bytes = body.with({.sequence = i});
        (void)take(producer.send({reinterpret_cast<const char*>(bytes.data()), bytes.size()}),
                   "publishing");
    }
    for (Producer& producer : producers) {
        take(producer.wait_all(), "waiting for confirms");
    }
    return static_cast<double>(messages) / seconds_since(begin);
}

// Takes and acks until `end`.
double consume_slowly(const MqdDaemon& daemon, const std::string& queue,
                      const std::atomic<bool>& end) {
    Client client = connect(daemon);
    ConsumerOptions options;
    options.window_messages = unacked_max;
    Consumer consumer = take(client.consumer(queue, options), "opening a consumer");
    const auto begin = std::chrono::steady_clock::now();
    std::uint64_t taken = 0;
    while (!end) {
        const auto batch =
            take(consumer.receive_batch(std::chrono::milliseconds(100)), "receiving");
        if (batch) {
            taken += batch->range.count;
            take(consumer.ack(batch->range), "acking");
        }
    }
    return static_cast<double>(taken) / seconds_since(begin);
}

std::shared_ptr<client::Connection> connect_session(const MqdDaemon& daemon) {
    const auto deadline = client::Deadline::after(std::chrono::seconds(10));
    const auto address = take(client::parse_url(daemon.url(Transport::unix_socket)), "the URL");
    auto socket = take(client::Socket::connect(address, deadline), "connecting");
    return take(client::Connection::greet(std::move(socket), {}, deadline), "greeting");
}

// The requests of each step go out together, and then all answers are waited for.
void fill_queues(client::Connection& connection, std::uint64_t from, std::uint64_t to) {
    client::Session& session = connection.session();
    std::vector<CorrelationId> asked;
    const auto await = [&] {
        for (const CorrelationId correlation : std::exchange(asked, {})) {
            (void)take(connection.await_reply(correlation, connection.default_deadline()),
                       "waiting for an answer");
        }
    };
    for (std::uint64_t i = from; i < to; ++i) {
        const std::string name = queue_name(i);
        wire::QueueCreate create;
        create.queue = name;
        create.options.durability = Durability::disk;
        asked.push_back(session.request(create, wire::FrameType::queue_info));
    }
    await();
    std::vector<HandleId> handles;
    for (std::uint64_t i = from; i < to; ++i) {
        const auto opening = take(session.open_producer(queue_name(i), {}), "opening a producer");
        handles.push_back(opening.handle);
        asked.push_back(opening.correlation);
    }
    await();
    const std::string body(body_bytes, 'x');
    for (const HandleId handle : handles) {
        for (std::uint64_t k = 0; k < messages_each; ++k) {
            if (!take(session.producer(handle).send(wire::as_bytes(body), {}), "publishing")) {
                fail("no credit for ten messages");
            }
        }
    }
    session.flush();
    for (const HandleId handle : handles) {
        const bool confirmed = connection.run_until(connection.default_deadline(), [&] {
            return session.producer(handle).unconfirmed() == 0;
        });
        if (!confirmed) {
            fail("no confirm");
        }
        asked.push_back(session.close(handle));
    }
    await();
    for (const HandleId handle : handles) {
        session.release(handle);
    }
}

std::vector<Figure> measure_queues(const Options& options) {
    MqdDaemonOptions how;
    how.program = options.program;
    how.folder = options.folder;
    how.limits = "queues = " + std::to_string(options.queues + 10) +
                 "\nhandles_per_connection = 65535\npublish_credit_bytes = \"1GiB\"\n";
    const auto daemon = take(MqdDaemon::start(how), "starting");
    std::vector<Figure> figures;
    const auto add = [&](std::string name, double value, std::string unit) {
        figures.push_back({std::move(name), value, std::move(unit)});
    };
    daemon->process().await_quiet();
    const double before = daemon->process().resident_kib();
    const auto connection = connect_session(*daemon);
    const auto begin = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < options.queues; i += pipelined_queues) {
        fill_queues(*connection, i, std::min(options.queues, i + pipelined_queues));
    }
    add("create_and_fill", seconds_since(begin), "s");
    daemon->process().await_quiet();
    add("resident_per_queue",
        (daemon->process().resident_kib() - before) / static_cast<double>(options.queues), "KiB");
    take(daemon->kill_and_restart(), "starting again");
    add("start", static_cast<double>(daemon->start_time().count()) / 1e6, "ms to the greeting");

    take(daemon->create_queue("one", Durability::disk), "creating a queue");
    daemon->process().await_quiet();
    const std::uint64_t some = std::max<std::uint64_t>(options.queues / 10, 1);
    const double one = publish_round_robin(*daemon, {"one"}, round_robin_messages);
    std::vector<std::string> names;
    for (std::uint64_t i = 0; i < some; ++i) {
        names.push_back(queue_name(i));
    }
    daemon->process().await_quiet();
    const double many = publish_round_robin(*daemon, names, round_robin_messages);
    add("publish_to_one", one, "messages/s");
    add("publish_round_robin", many, "messages/s to " + std::to_string(some) + " queues");
    add("round_robin_ratio", many / one, "of publishing to one");
    return figures;
}

// A consumer takes an old backlog while another queue is busy.
std::vector<Figure> measure_beside(const Options& options) {
    MqdDaemonOptions how;
    how.program = options.program;
    how.folder = options.folder;
    how.storage = "memory = \"" + options.memory + "\"\n";
    const auto daemon = take(MqdDaemon::start(how), "starting");
    take(daemon->create_queue("busy", Durability::disk), "creating a queue");
    take(daemon->create_queue("backlog", Durability::disk), "creating a queue");
    (void)publish(*daemon, "backlog", options.messages);
    daemon->process().await_quiet();
    const std::uint64_t some = std::max<std::uint64_t>(options.messages / 100, 1000);
    const auto run_busy = [&] {
        const auto consumer =
            std::async(std::launch::async, [&] { (void)consume(*daemon, "busy", some); });
        return publish(*daemon, "busy", some);
    };
    // In turn, so that a machine whose speed changes is the same for both.
    std::vector<double> alone;
    std::vector<double> beside;
    std::vector<double> ratios;
    std::vector<double> drained;
    for (int pair = 0; pair < pairs; ++pair) {
        alone.push_back(run_busy());
        std::atomic<bool> end = false;
        auto reader =
            std::async(std::launch::async, [&] { return consume_slowly(*daemon, "backlog", end); });
        beside.push_back(run_busy());
        end = true;
        drained.push_back(reader.get());
        ratios.push_back(beside.back() / alone.back());
    }
    Client client = connect(*daemon);
    if (take(client.show_queue("backlog"), "looking at the backlog").ready <= unacked_max) {
        fail("the backlog ended before the busy queue did: take more --messages");
    }
    return {{"busy_alone", median(alone), "messages/s"},
            {"busy_beside_reader", median(beside), "messages/s"},
            {"beside_ratio", median(ratios),
             "of alone, the median of " + std::to_string(pairs) + " pairs"},
            {"beside_ratio_least", *std::min_element(ratios.begin(), ratios.end()), ""},
            {"beside_ratio_most", *std::max_element(ratios.begin(), ratios.end()), ""},
            {"reader", median(drained), "messages/s taken from the backlog meanwhile"}};
}

// Every second message acked, and the others kept, while other queues go on.
std::vector<Figure> measure_state(const Options& options) {
    constexpr std::uint64_t queues = 10'000;
    MqdDaemonOptions how;
    how.program = options.program;
    how.folder = options.folder;
    how.limits =
        "queues = 10100\nhandles_per_connection = 65535\npublish_credit_bytes = \"1GiB\"\n";
    const auto daemon = take(MqdDaemon::start(how), "starting");
    {
        Client client = connect(*daemon);
        for (std::uint64_t i = 0; i < queues; ++i) {
            (void)take(client.create_queue(queue_name(i), {.durability = Durability::disk}),
                       "creating a queue");
        }
    }
    take(daemon->create_queue("apart", Durability::disk), "creating a queue");
    take(daemon->create_queue("busy", Durability::disk), "creating a queue");
    const std::uint64_t messages = 2 * options.state;
    (void)publish(*daemon, "apart", messages);
    Client client = connect(*daemon);
    ConsumerOptions window;
    window.window_messages = static_cast<std::uint32_t>(messages + 1);
    window.window_bytes = std::uint64_t{1} << 40;
    window.lease = std::chrono::hours(1);
    Consumer consumer = take(client.consumer("apart", window), "opening a consumer");
    for (std::uint64_t next = 0; next < messages;) {
        const auto batch = take(consumer.receive_batch(), "receiving");
        if (!batch) {
            continue;
        }
        for (const Delivery& delivery : *batch) {
            if (next++ % 2 == 0) {
                take(consumer.ack(delivery.number), "acking");
            }
        }
    }
    take(client.flush(), "flushing the acks");
    {
        // Several checkpoints of all that.
        const auto other =
            std::async(std::launch::async, [&] { (void)consume(*daemon, "busy", messages); });
        (void)publish(*daemon, "busy", messages);
    }
    std::vector<Figure> figures;
    for (const StatusItem& item : take(client.status(), "asking for the status")) {
        if (item.name == "longest_turn_us") {
            figures.push_back(
                {"longest_turn", static_cast<double>(item.value) / 1000, "ms, over the whole run"});
        } else if (item.name == "checkpoints" || item.name == "checkpoint_bytes") {
            figures.push_back({item.name, static_cast<double>(item.value), ""});
        }
    }
    take(daemon->kill_and_restart(), "starting again");
    figures.push_back(
        {"start", static_cast<double>(daemon->start_time().count()) / 1e6, "ms to the greeting"});
    return figures;
}

void print(const Options& options, const std::vector<Figure>& figures) {
    if (options.json) {
        std::printf("{");
        for (const Figure& figure : figures) {
            std::printf("%s\"%s\": %.6g", &figure == figures.data() ? "" : ", ",
                        figure.name.c_str(), figure.value);
        }
        std::printf("}\n");
        return;
    }
    for (const Figure& figure : figures) {
        std::printf("%-26s %14.2f  %s\n", figure.name.c_str(), figure.value, figure.unit.c_str());
    }
}

std::uint64_t number(const std::string& text) {
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || value == 0) {
        fail("not a number: " + text);
    }
    return value;
}

Options parse(const std::vector<std::string>& arguments) {
    Options options;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& key = arguments[i];
        if (key == "--json" || key == "--beside") {
            (key == "--json" ? options.json : options.beside) = true;
            continue;
        }
        if (i + 1 == arguments.size()) {
            fail("missing value, or unknown option: " + key);
        }
        const std::string& value = arguments[++i];
        if (key == "--mqd") {
            options.program = value;
        } else if (key == "--folder") {
            options.folder = std::filesystem::absolute(value);
        } else if (key == "--messages") {
            options.messages = number(value);
        } else if (key == "--memory") {
            options.memory = value;
        } else if (key == "--queues") {
            options.queues = number(value);
        } else if (key == "--state") {
            options.state = number(value);
        } else {
            fail("unknown option: " + key);
        }
    }
    if (options.program.empty() || options.folder.empty()) {
        fail("--mqd and --folder are needed");
    }
    return options;
}

}  // namespace

}  // namespace mqd::bench

int main(int argc, char** argv) {
    using namespace mqd::bench;
    const Options options = parse({argv + 1, argv + argc});
    print(options, options.queues > 0  ? measure_queues(options)
                   : options.state > 0 ? measure_state(options)
                   : options.beside    ? measure_beside(options)
                                       : measure_backlog(options));
    return EXIT_SUCCESS;
}
