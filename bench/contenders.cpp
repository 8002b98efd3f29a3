#include "bench/contenders.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <thread>

#include <unistd.h>

#include "bench/floor_client.hpp"
#include "bench/mqd_client.hpp"
#include "bench/mqd_daemon.hpp"

namespace mqd::bench {

namespace {

constexpr std::chrono::seconds start_timeout{5};
constexpr std::chrono::microseconds retry_interval{50};
// After it, what a process has set up in the background is resident too.
constexpr std::chrono::milliseconds idle_time{500};
// The bare broker needs a bound for the messages of its consumer even when there is one in flight.
constexpr std::uint64_t bare_broker_unacked_min = 1'000;

Address make_address(const Place& place, Transport transport) {
    Address address{transport, place.folder + "/floor.sock", 0};
    (void)::unlink(address.path.c_str());  // from the run before
    return address;
}

Figures start_figures(std::chrono::nanoseconds start, const ServerProcess& server) {
    std::this_thread::sleep_for(idle_time);
    return {{"start_ms", std::chrono::duration<double, std::milli>(start).count()},
            {"idle_resident_kib", server.resident_kib()}};
}

}  // namespace

Contender make_relay(const Place& place, Transport transport, const LoadShape& shape) {
    return {relay_name, [=]() -> Result<Figures> {
                Address address = make_address(place, transport);
                const Descriptor listener = listen_on(address);
                const auto server =
                    ServerProcess::fork_to_run(shape.core(), [&] { run_relay(listener.get()); });
                FloorClientOptions options{address, shape, false};
                // A relay confirms nothing: the sockets alone hold the producer back.
                options.shape.unconfirmed_max = std::numeric_limits<std::uint64_t>::max();
                return measure_load(server, options.shape, make_floor_client(options));
            }};
}

Contender make_bare_broker(const Place& place, Transport transport, const LoadShape& shape,
                           LogMode log) {
    return {bare_broker_name, [=]() -> Result<Figures> {
                Address address = make_address(place, transport);
                const Descriptor listener = listen_on(address);
                BareBrokerOptions broker;
                broker.log = log;
                broker.log_path = place.folder + "/floor.log";
                broker.unacked_max = std::max(shape.unacked_max, bare_broker_unacked_min);
                const auto server = ServerProcess::fork_to_run(
                    shape.core(), [&] { run_bare_broker(listener.get(), broker); });
                return measure_load(server, shape, make_floor_client({address, shape, true}));
            }};
}

namespace {

const char* words_of(Feature feature) {
    switch (feature) {
        case Feature::none: return "";
        case Feature::delay: return ", delayed 1 ms";
        case Feature::priority: return ", priorities";
        case Feature::ttl: return ", each with a TTL";
        case Feature::group: return ", 10,000 groups";
        case Feature::dedup: return ", an id each";
    }
    return "";
}

}  // namespace

Contender make_mqd(const Place& place, Transport transport, const LoadShape& shape,
                   Durability durability) {
    const std::string name = std::string(mqd_name) + words_of(shape.feature);
    return {name, [=]() -> Result<Figures> {
                auto daemon = MqdDaemon::start({.program = place.mqd_program,
                                                .folder = place.folder,
                                                .core = shape.core(),
                                                .sync_delay = {}});
                if (!daemon) {
                    return daemon.error();
                }
                QueueOptions options;
                options.priorities = shape.feature == Feature::priority;
                if (shape.feature == Feature::dedup) {
                    options.dedup_window = std::chrono::hours(1);
                }
                if (auto queue = (*daemon)->create_queue("bench", durability, options); !queue) {
                    return queue.error();
                }
                (*daemon)->process().await_quiet();
                auto figures =
                    measure_load((*daemon)->process(), shape,
                                 make_mqd_client({(*daemon)->url(transport), "bench", shape, ""}));
                if (!figures) {
                    return Error{figures.error().code,
                                 figures.error().text +
                                     "; the daemon's log ends: " + (*daemon)->last_words(),
                                 0, 0, 0};
                }
                return figures;
            }};
}

Contender make_mqd_with_slow_disk(const Place& place, const LoadShape& shape,
                                  std::chrono::milliseconds sync_delay) {
    const std::string name =
        sync_delay.count() == 0
            ? std::string(mqd_name)
            : std::string(mqd_name) + ", syncs +" + std::to_string(sync_delay.count()) + " ms";
    return {name, [=]() -> Result<Figures> {
                auto daemon = MqdDaemon::start({.program = place.mqd_program,
                                                .folder = place.folder,
                                                .core = std::nullopt,
                                                .sync_delay = sync_delay});
                if (!daemon) {
                    return daemon.error();
                }
                for (const auto& [queue, durability] : {std::pair("bench", Durability::memory),
                                                        std::pair("durable", Durability::disk)}) {
                    if (auto created = (*daemon)->create_queue(queue, durability); !created) {
                        return created.error();
                    }
                }
                (*daemon)->process().await_quiet();
                // The thread that serves is measured. Were those that sync on the core that the
                // load keeps busy, its scheduler would slow them more than any disk.
                if (const auto core = shape.core()) {
                    (*daemon)->process().pin_main_thread(*core);
                }
                auto figures = measure_load((*daemon)->process(), shape,
                                            make_mqd_client({(*daemon)->url(Transport::unix_socket),
                                                             "bench", shape, "durable"}));
                // A daemon that knows nothing of the delay must not pass for one that stands it.
                const double delay_us =
                    std::chrono::duration<double, std::micro>(sync_delay).count();
                if (figures && (*figures)["disturbance_confirm_p50_us"] < delay_us) {
                    return Error{ErrorCode::usage,
                                 "the daemon's syncs were not slowed: is MQD_TEST_SYNC_DELAY_MS "
                                 "compiled in?",
                                 0, 0, 0};
                }
                return figures;
            }};
}

Contender make_starting_bare_broker(const Place& place) {
    return {
        bare_broker_name, [=]() -> Result<Figures> {
            const Address address = make_address(place, Transport::unix_socket);
            ServerProcess::Program program;
            program.command = {place.program, "--serve-bare-broker", address.path};
            const auto begin = std::chrono::steady_clock::now();
            const auto server = ServerProcess::execute(std::nullopt, program);
            while (true) {
                const auto client = try_connect_to(address);
                const auto taken = std::chrono::steady_clock::now() - begin;
                if (client) {
                    return start_figures(taken, server);
                }
                if (taken > start_timeout) {
                    return Error{ErrorCode::timeout, "the bare broker does not listen", 0, 0, 0};
                }
                std::this_thread::sleep_for(retry_interval);
            }
        }};
}

Contender make_starting_mqd(const Place& place) {
    return {mqd_name, [=]() -> Result<Figures> {
                const auto daemon = MqdDaemon::start({.program = place.mqd_program,
                                                      .folder = place.folder,
                                                      .core = std::nullopt,
                                                      .sync_delay = {}});
                if (!daemon) {
                    return daemon.error();
                }
                return start_figures((*daemon)->start_time(), (*daemon)->process());
            }};
}

}  // namespace mqd::bench
