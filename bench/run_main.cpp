// mqd-bench-run: measures the floors and mqd side by side. script/bench builds what it needs and
// calls it.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <fnmatch.h>
#include <getopt.h>
#include <unistd.h>

#include "bench/bare_broker.hpp"
#include "bench/contest.hpp"
#include "bench/failure.hpp"
#include "bench/report.hpp"
#include "bench/workloads.hpp"

namespace mqd::bench {

namespace {

constexpr int runs_max = 100;
constexpr std::chrono::milliseconds quick_duration{200};

constexpr const char* usage =
    "usage: mqd-bench-run [OPTION...]\n"
    "  --mqd FILE       the daemon; without it, only the floors are measured\n"
    "  --folder FOLDER  where data lies meanwhile, on the disk that counts (default: .)\n"
    "  --only PATTERN   only workloads whose name has PATTERN in it (* and ? as in a shell)\n"
    "  --runs N         runs of each (default: 3)\n"
    "  --quick          one short run of each: tells whether it works, not how fast it is\n"
    "  --json FILE      writes all figures of all runs\n"
    "  --list           names the workloads\n"
    "  --serve-bare-broker FILE  serves a Unix socket there, in memory\n";

struct Options {
    std::string mqd;
    std::string folder = ".";
    std::string only;
    std::string json;
    std::string serve;
    int runs = 0;  // 0: not said
    bool quick = false;
    bool list = false;
};

Options parse(int argc, char** argv) {
    const option names[] = {{"mqd", required_argument, nullptr, 'm'},
                            {"folder", required_argument, nullptr, 'f'},
                            {"only", required_argument, nullptr, 'o'},
                            {"runs", required_argument, nullptr, 'r'},
                            {"quick", no_argument, nullptr, 'q'},
                            {"json", required_argument, nullptr, 'j'},
                            {"list", no_argument, nullptr, 'l'},
                            {"help", no_argument, nullptr, 'h'},
                            {"serve-bare-broker", required_argument, nullptr, 's'},
                            {nullptr, 0, nullptr, 0}};
    Options options;
    int found = 0;
    while ((found = ::getopt_long(argc, argv, "h", names, nullptr)) != -1) {
        switch (found) {
            case 'm': options.mqd = optarg; break;
            case 'f': options.folder = optarg; break;
            case 'o': options.only = optarg; break;
            case 'r': options.runs = std::atoi(optarg); break;
            case 'q': options.quick = true; break;
            case 'j': options.json = optarg; break;
            case 'l': options.list = true; break;
            case 's': options.serve = optarg; break;
            case 'h': std::fputs(usage, stdout); std::exit(0);
            default: std::fputs(usage, stderr); std::exit(2);
        }
        if (found == 'r' && (options.runs < 1 || options.runs > runs_max)) {
            std::fprintf(stderr, "mqd-bench-run: --runs takes 1 to %d\n", runs_max);
            std::exit(2);
        }
    }
    if (optind < argc) {
        std::fputs(usage, stderr);
        std::exit(2);
    }
    return options;
}

std::vector<Workload> chosen_workloads(const Options& options, const std::string& folder) {
    WorkloadOptions workload_options;
    workload_options.place = {folder, "/proc/self/exe", options.mqd};
    if (options.quick) {
        workload_options.memory_duration = quick_duration;
        workload_options.disk_duration = quick_duration;
    }
    std::vector<Workload> list = make_workloads(workload_options);
    const std::string pattern = "*" + options.only + "*";
    std::erase_if(list, [&](const Workload& workload) {
        return ::fnmatch(pattern.c_str(), workload.name.c_str(), 0) != 0;
    });
    return list;
}

// A folder of our own in the one that was given, removed in the end.
class RunFolder {
  public:
    explicit RunFolder(const std::string& parent)
        : path_(std::filesystem::absolute(parent) / "run.XXXXXX") {
        if (::mkdtemp(path_.data()) == nullptr) {
            fail_errno("a folder in " + parent);
        }
    }
    RunFolder(const RunFolder&) = delete;
    RunFolder& operator=(const RunFolder&) = delete;
    ~RunFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
};

int run(const Options& options) {
    const RunFolder folder(options.folder);
    const std::vector<Workload> workloads = chosen_workloads(options, folder.path());
    if (options.list) {
        for (const Workload& workload : workloads) {
            std::printf("%-18s %s\n", workload.name.c_str(), workload.title.c_str());
        }
        return 0;
    }
    ContestOptions contest_options;
    contest_options.runs = options.runs > 0 ? options.runs : options.quick ? 1 : 3;
    if (options.quick) {
        contest_options.disk_wait_sum_max = {};
    }
    Report report{describe_machine(folder.path()), contest_options.runs, {}};
    std::printf("%d cores, Linux %s, data on %s%s; medians of %d\n", report.machine.cores,
                report.machine.kernel.c_str(), report.machine.file_system.c_str(),
                report.machine.in_memory ? " (no disk: a sync costs nothing here)" : "",
                report.runs);
    Contest contest(contest_options, folder.path());
    bool failed = false;
    for (const Workload& workload : workloads) {
        report.outcomes.push_back(contest.run(workload));
        print_outcome(stdout, report.outcomes.back(), contest.best_sync_us());
        failed = failed || report.outcomes.back().failed();
    }
    if (!options.json.empty() && !(std::ofstream(options.json) << to_json(report)).flush()) {
        fail("cannot write " + options.json);
    }
    return failed ? 1 : 0;
}

int serve_bare_broker(const std::string& path) {
    Address address{Transport::unix_socket, path, 0};
    const Descriptor listener = listen_on(address);
    run_bare_broker(listener.get(), {.log = LogMode::none, .log_path = "", .unacked_max = 1'000});
}

}  // namespace

}  // namespace mqd::bench

int main(int argc, char** argv) {
    const auto options = mqd::bench::parse(argc, argv);
    return options.serve.empty() ? mqd::bench::run(options)
                                 : mqd::bench::serve_bare_broker(options.serve);
}
