#include "bench/load.hpp"

#include <algorithm>

#include <sys/eventfd.h>
#include <unistd.h>

#include "bench/failure.hpp"

namespace mqd::bench {

namespace {

constexpr std::chrono::milliseconds ready_timeout{30'000};
constexpr std::chrono::milliseconds end_timeout{60'000};  // beyond the duration of the load
constexpr std::chrono::milliseconds warm_up_duration{150};

void add_percentiles(Figures& figures, const std::string& what, const Percentiles& percentiles) {
    if (percentiles.samples > 0) {
        figures[what + "_samples"] = static_cast<double>(percentiles.samples);
        figures[what + "_p50_us"] = percentiles.p50_us;
        figures[what + "_p99_us"] = percentiles.p99_us;
        figures[what + "_p999_us"] = percentiles.p999_us;
    }
}

// The consumer is worker 0, the producers follow, and then the disturber.
Result<Figures> gather(const Crew& crew, std::size_t producers, bool disturbed) {
    const WorkerReport& consumer = crew.report(0);
    std::uint64_t sent = 0;
    std::int64_t begin_ns = consumer.end_ns;
    std::int64_t end_ns = consumer.end_ns;
    for (std::size_t i = 1; i <= producers; ++i) {
        sent += crew.report(i).messages;
        begin_ns = std::min(begin_ns, crew.report(i).begin_ns);
        end_ns = std::max(end_ns, crew.report(i).end_ns);
    }
    if (sent != consumer.messages || sent == 0) {
        return Error{ErrorCode::io_error,
                     std::to_string(sent) + " messages were sent and " +
                         std::to_string(consumer.messages) + " came",
                     0, 0, 0};
    }
    Figures figures;
    figures["messages"] = static_cast<double>(sent);
    figures["seconds"] = static_cast<double>(end_ns - begin_ns) * 1e-9;
    figures["messages_per_s"] = figures["messages"] / figures["seconds"];
    add_percentiles(figures, "receive", consumer.receive);
    add_percentiles(figures, "confirm", crew.report(1).confirm);
    if (disturbed) {
        add_percentiles(figures, "disturbance_confirm", crew.report(1 + producers).confirm);
    }
    return figures;
}

Result<Figures> run_load(const ServerProcess& server, const LoadShape& shape,
                         const LoadClient& client, std::chrono::milliseconds duration) {
    Crew crew;
    const auto add = [&](const std::string& name, std::optional<int> core, const auto& work) {
        crew.add(name, core, [&](WorkerContext& context) {
            context.publishing = duration;
            work(context);
        });
    };
    add("the consumer", shape.core(), client.consume);
    for (std::uint32_t i = 0; i < shape.producers; ++i) {
        add("producer " + std::to_string(i), shape.core(),
            [&client, i](WorkerContext& context) { client.produce(context, i); });
    }
    if (client.disturb) {
        add("the disturber", other_core(), client.disturb);
    }
    if (auto ready = crew.await_ready(ready_timeout); !ready) {
        return ready.error();
    }
    const double cpu_before = server.cpu_seconds();
    crew.go();
    if (auto ended = crew.await_end(duration + end_timeout); !ended) {
        return ended.error();
    }
    const double cpu_s = server.cpu_seconds() - cpu_before;
    auto figures = gather(crew, shape.producers, static_cast<bool>(client.disturb));
    if (figures) {
        (*figures)["server_cpu_s"] = cpu_s;
        (*figures)["server_cpu_ns_per_message"] = cpu_s * 1e9 / (*figures)["messages"];
        (*figures)["server_resident_kib"] = server.resident_kib();
    }
    return figures;
}

}  // namespace

Token::Token() : event_(::eventfd(0, EFD_CLOEXEC)) {
    if (event_.get() < 0) {
        fail_errno("eventfd");
    }
}

void Token::pass() const {
    if (::eventfd_write(event_.get(), 1) != 0) {
        fail_errno("eventfd_write");
    }
}

void Token::take() const {
    eventfd_t value = 0;
    if (::eventfd_read(event_.get(), &value) != 0) {
        fail_errno("eventfd_read");
    }
}

Result<Figures> measure_load(const ServerProcess& server, const LoadShape& shape,
                             const LoadClient& client) {
    if (auto warm = run_load(server, shape, client, warm_up_duration); !warm) {
        return warm;
    }
    return run_load(server, shape, client, shape.duration);
}

}  // namespace mqd::bench
