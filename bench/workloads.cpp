#include "bench/workloads.hpp"

#include <string>
#include <utility>

namespace mqd::bench {

namespace {

constexpr const char* memory_words = "memory: confirmed from memory, lost when the daemon ends";
constexpr const char* written_words =
    "written: confirmed when the kernel has it, lost when the power fails";
constexpr const char* disk_words = "disk: confirmed and delivered after fdatasync";
constexpr std::chrono::milliseconds slow_sync_delay{50};

const std::vector<std::string> throughput_columns = {
    "messages_per_s", "server_cpu_s", "server_cpu_ns_per_message", "server_resident_kib"};
const std::vector<std::string> receive_columns = {"receive_p50_us", "receive_p99_us",
                                                  "receive_p999_us"};
const std::vector<std::string> confirm_columns = {"confirm_p50_us", "confirm_p99_us",
                                                  "confirm_p999_us"};

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

Goal goal(const char* figure, Bound bound, double factor) {
    return {mqd_name, figure, bound, factor, bare_broker_name};
}

struct TransportWords {
    Transport transport;
    const char* name;
    const char* title;
};
constexpr TransportWords over_unix{Transport::unix_socket, "unix", "Unix socket"};
constexpr TransportWords over_tcp{Transport::tcp, "tcp", "TCP"};

class WorkloadList {
  public:
    explicit WorkloadList(const WorkloadOptions& options) : options_(options) {
        add_raw_file("file_4k", 4096, 200);
        add_raw_file("file_1m", 1024 * 1024, 20);
        for (const TransportWords& over : {over_unix, over_tcp}) {
            add_memory_latency(over);
        }
        for (const TransportWords& over : {over_unix, over_tcp}) {
            add_memory_throughput(over);
        }
        add_written_throughput();
        add_disk_throughput("disk_unix", 1'000);
        add_disk_throughput("disk_unix_wide", 10'000);
        add_disk_latency();
        add_disk_many_producers();
        add_slow_disk();
        add_feature("delay", Feature::delay, "each message delayed", 0.4);
        add_feature("priority", Feature::priority, "any of ten priorities", 0.6);
        add_feature("ttl", Feature::ttl, "a TTL for each", 0.6);
        add_feature("group", Feature::group, "10,000 groups", 0.4);
        add_feature("dedup", Feature::dedup, "an id for each", 0.5);
        add_start();
    }

    [[nodiscard]] std::vector<Workload> take() { return std::move(list_); }

  private:
    [[nodiscard]] LoadShape shape(std::chrono::milliseconds duration) const {
        LoadShape result;
        result.duration = duration;
        return result;
    }

    [[nodiscard]] LoadShape latency_shape(std::chrono::milliseconds duration) const {
        LoadShape result = shape(duration);
        result.one_in_flight = true;
        result.pinned = true;
        return result;
    }

    // mqd last, if it competes at all; its goals go with it.
    void add(Workload workload, Contender mqd, std::vector<Goal> goals) {
        if (!options_.place.mqd_program.empty()) {
            workload.contenders.push_back(std::move(mqd));
            workload.goals = std::move(goals);
        }
        if (!workload.contenders.empty()) {
            list_.push_back(std::move(workload));
        }
    }

    void add_raw_file(const char* name, std::size_t bytes, int appends) {
        Workload workload;
        workload.name = name;
        workload.title = std::to_string(bytes / 1024) + " KiB append + fdatasync";
        workload.uses_disk = true;
        workload.columns = {"sync_p50_us", "sync_p99_us", "bytes_per_s"};
        for (const auto& [title, preparation] :
             {std::pair("growing", FilePreparation::growing),
              std::pair("allocated", FilePreparation::allocated),
              std::pair("zero-filled", FilePreparation::zero_filled),
              std::pair("zero-filled, O_DIRECT", FilePreparation::zero_filled_direct)}) {
            const RawFileOptions file{options_.place.folder, preparation, bytes, appends};
            workload.contenders.push_back({title, [file] { return measure_raw_file(file); }});
        }
        list_.push_back(std::move(workload));
    }

    void add_memory_latency(const TransportWords& over) {
        LoadShape load = latency_shape(options_.memory_duration);
        load.receipt_first = true;
        Workload workload;
        workload.name = std::string("latency_") + over.name;
        workload.title =
            std::string("publish to receive, one in flight, all on one core, ") + over.title;
        workload.durability = memory_words;
        workload.columns = receive_columns;
        workload.contenders = {
            make_relay(options_.place, over.transport, load),
            make_bare_broker(options_.place, over.transport, load, LogMode::none)};
        add(std::move(workload), make_mqd(options_.place, over.transport, load, Durability::memory),
            {goal("receive_p50_us", Bound::at_most, 1.2),
             goal("receive_p99_us", Bound::at_most, 1.3)});
    }

    void add_memory_throughput(const TransportWords& over) {
        const LoadShape load = shape(options_.memory_duration);
        Workload workload;
        workload.name = std::string("memory_") + over.name;
        workload.title = std::string("1,000 unconfirmed and 1,000 unacked at most, ") + over.title;
        workload.durability = memory_words;
        workload.columns = throughput_columns;
        workload.contenders = {
            make_relay(options_.place, over.transport, load),
            make_bare_broker(options_.place, over.transport, load, LogMode::none)};
        add(std::move(workload), make_mqd(options_.place, over.transport, load, Durability::memory),
            {goal("messages_per_s", Bound::at_least, 0.5)});
    }

    void add_written_throughput() {
        const LoadShape load = shape(options_.memory_duration);
        Workload workload;
        workload.name = "written_unix";
        workload.title = "1,000 unconfirmed and 1,000 unacked at most, Unix socket";
        workload.durability = written_words;
        workload.uses_disk = true;
        workload.columns = throughput_columns;
        workload.contenders = {
            make_bare_broker(options_.place, Transport::unix_socket, load, LogMode::written)};
        add(std::move(workload),
            make_mqd(options_.place, Transport::unix_socket, load, Durability::written), {});
    }

    void add_disk_throughput(const char* name, std::uint64_t window) {
        LoadShape load = shape(options_.disk_duration);
        load.unconfirmed_max = window;
        load.unacked_max = window;
        Workload workload;
        workload.name = name;
        workload.title = std::to_string(window / 1'000) +
                         ",000 unconfirmed and unacked at most, "
                         "Unix socket";
        workload.durability = disk_words;
        workload.uses_disk = true;
        workload.columns = throughput_columns;
        workload.contenders = {
            make_bare_broker(options_.place, Transport::unix_socket, load, LogMode::synced)};
        add(std::move(workload),
            make_mqd(options_.place, Transport::unix_socket, load, Durability::disk),
            {goal("messages_per_s", Bound::at_least, 0.6)});
    }

    void add_disk_latency() {
        const LoadShape load = latency_shape(options_.disk_duration);
        Workload workload;
        workload.name = "disk_latency";
        workload.title = "one in flight, all on one core, Unix socket";
        workload.durability = disk_words;
        workload.uses_disk = true;
        workload.columns = confirm_columns + receive_columns;
        workload.contenders = {
            make_bare_broker(options_.place, Transport::unix_socket, load, LogMode::synced)};
        add(std::move(workload),
            make_mqd(options_.place, Transport::unix_socket, load, Durability::disk),
            {goal("confirm_p50_us", Bound::at_most, 1.25),
             goal("receive_p50_us", Bound::at_most, 1.25)});
    }

    void add_disk_many_producers() {
        LoadShape load = shape(options_.disk_duration);
        load.one_in_flight = true;
        load.producers = 64;
        Workload workload;
        workload.name = "disk_64_producers";
        workload.title = "64 producers with one in flight each, Unix socket";
        workload.durability = disk_words;
        workload.uses_disk = true;
        workload.columns = throughput_columns + confirm_columns;
        workload.contenders = {
            make_bare_broker(options_.place, Transport::unix_socket, load, LogMode::synced)};
        add(std::move(workload),
            make_mqd(options_.place, Transport::unix_socket, load, Durability::disk),
            {goal("messages_per_s", Bound::at_least, 0.85)});
    }

    // Both ways beside a durable queue, so that the sync is all that differs.
    void add_slow_disk() {
        LoadShape load = latency_shape(options_.memory_duration);
        load.receipt_first = true;
        if (options_.place.mqd_program.empty()) {
            return;
        }
        Workload workload;
        workload.name = "slow_disk";
        workload.title =
            "publish to receive in memory, one in flight, while a durable queue is being synced";
        workload.durability = memory_words;
        workload.uses_disk = true;
        workload.columns = receive_columns;
        workload.columns.emplace_back("disturbance_confirm_p50_us");
        workload.contenders = {
            make_bare_broker(options_.place, Transport::unix_socket, load, LogMode::none),
            make_mqd_with_slow_disk(options_.place, load, std::chrono::milliseconds(0)),
            make_mqd_with_slow_disk(options_.place, load, slow_sync_delay)};
        workload.goals = {{workload.contenders[2].name, "receive_p99_us", Bound::at_most, 2,
                           workload.contenders[1].name}};
        list_.push_back(std::move(workload));
    }

    // What a feature costs that every message has, beside the plain path.
    void add_feature(const std::string& name, Feature feature, const char* title, double share) {
        if (options_.place.mqd_program.empty()) {
            return;
        }
        for (const Durability durability : {Durability::memory, Durability::disk}) {
            const bool disk = durability == Durability::disk;
            LoadShape plain = shape(disk ? options_.disk_duration : options_.memory_duration);
            plain.unconfirmed_max = plain.unacked_max = 10'000;
            LoadShape featured = plain;
            featured.feature = feature;
            Workload workload;
            workload.name = name + (disk ? "_disk" : "_memory");
            workload.title =
                std::string("10,000 unconfirmed and unacked at most, ") + title + ", Unix socket";
            workload.durability = disk ? disk_words : memory_words;
            workload.uses_disk = disk;
            workload.columns = throughput_columns;
            workload.contenders = {
                make_mqd(options_.place, Transport::unix_socket, plain, durability),
                make_mqd(options_.place, Transport::unix_socket, featured, durability)};
            workload.goals = {{workload.contenders[1].name, "messages_per_s", Bound::at_least,
                               share, workload.contenders[0].name}};
            list_.push_back(std::move(workload));
        }
    }

    void add_start() {
        Workload workload;
        workload.name = "start";
        workload.title = "from exec to the first client, and resident when idle";
        workload.uses_disk = true;
        workload.columns = {"start_ms", "idle_resident_kib"};
        workload.contenders = {make_starting_bare_broker(options_.place)};
        add(std::move(workload), make_starting_mqd(options_.place),
            {{mqd_name, "start_ms", Bound::at_most, 5, ""},
             {mqd_name, "idle_resident_kib", Bound::at_most, 6 * 1024, ""}});
    }

    const WorkloadOptions& options_;
    std::vector<Workload> list_;
};

}  // namespace

std::vector<Workload> make_workloads(const WorkloadOptions& options) {
    return WorkloadList(options).take();
}

}  // namespace mqd::bench
