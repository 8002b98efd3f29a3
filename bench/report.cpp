#include "bench/report.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace mqd::bench {

namespace {

struct Heading {
    std::string_view figure;
    std::string_view text;
    double scale;  // from the figure's unit to that of the table
};

constexpr std::array headings{
    Heading{"messages_per_s", "messages/s", 1},
    Heading{"server_cpu_s", "CPU s", 1},
    Heading{"server_cpu_ns_per_message", "CPU ns/message", 1},
    Heading{"server_resident_kib", "resident MiB", 1.0 / 1024},
    Heading{"idle_resident_kib", "resident MiB", 1.0 / 1024},
    Heading{"start_ms", "start ms", 1},
    Heading{"receive_p50_us", "receive p50 µs", 1},
    Heading{"receive_p99_us", "p99 µs", 1},
    Heading{"receive_p999_us", "p99.9 µs", 1},
    Heading{"confirm_p50_us", "confirm p50 µs", 1},
    Heading{"confirm_p99_us", "p99 µs", 1},
    Heading{"confirm_p999_us", "p99.9 µs", 1},
    Heading{"disturbance_confirm_p50_us", "durable confirm p50 µs", 1},
    Heading{"sync_p50_us", "p50 µs", 1},
    Heading{"sync_p99_us", "p99 µs", 1},
    Heading{"bytes_per_s", "MB/s", 1e-6},
};

Heading heading_of(std::string_view figure) {
    for (const Heading& heading : headings) {
        if (heading.figure == figure) {
            return heading;
        }
    }
    return {figure, figure, 1};
}

std::string format(const char* pattern, double value) {
    char text[64];
    std::snprintf(text, sizeof text, pattern, value);
    return text;
}

// Three or four digits: more would be noise.
std::string format_figure(double value) {
    if (value >= 1e6) {
        return format("%.2f M", value / 1e6);
    }
    if (value >= 1e4) {
        return format("%.1f k", value / 1e3);
    }
    return format(value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : "%.2f", value);
}

// Characters, not bytes.
std::size_t width_of(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

void print_padded(std::FILE* out, std::string_view text, std::size_t width) {
    const std::size_t padding = width - std::min(width, width_of(text));
    std::fprintf(out, "%*s%.*s", static_cast<int>(padding), "", static_cast<int>(text.size()),
                 text.data());
}

std::string cell(const Standing& standing, const std::string& figure) {
    const auto found = standing.median.find(figure);
    return found == standing.median.end() ? "-"
                                          : format_figure(found->second * heading_of(figure).scale);
}

void print_goal(std::FILE* out, const Outcome& outcome, const Goal& goal) {
    const bool at_least = goal.bound == Bound::at_least;
    std::string text = goal.figure;
    text += at_least ? " ≥ " : " ≤ ";
    const Standing* const mine = outcome.find(goal.contender);
    const Standing* const other = goal.against.empty() ? nullptr : outcome.find(goal.against);
    text += format_figure(goal.factor);
    text += other != nullptr ? " x " + goal.against : "";
    const auto value = mine->median.find(goal.figure);
    if (value == mine->median.end() ||
        (other != nullptr && other->median.count(goal.figure) == 0)) {
        std::fprintf(out, "    goal: %s: not measured\n", text.c_str());
        return;
    }
    const double ratio = value->second / (other != nullptr ? other->median.at(goal.figure) : 1);
    const bool met = at_least ? ratio >= goal.factor : ratio <= goal.factor;
    std::fprintf(out, "    goal: %s: %s, %s\n", text.c_str(), format_figure(ratio).c_str(),
                 met ? "met" : "missed");
}

// A disk that serves in bursts makes runs comparable to nothing but their neighbours.
void print_disk_warning(std::FILE* out, const Outcome& outcome, double best_sync_us) {
    std::size_t runs = 0;
    std::size_t slow = 0;
    double slowest_us = 0;
    for (const Standing& standing : outcome.standings) {
        for (const Figures& run : standing.runs) {
            const auto sync = run.find("disk_sync_us");
            if (sync != run.end()) {
                ++runs;
                slow += sync->second > slow_disk_factor * best_sync_us ? 1 : 0;
                slowest_us = std::max(slowest_us, sync->second);
            }
        }
    }
    if (slow > 0) {
        std::fprintf(out,
                     "    note: the disk itself was slow in %zu of %zu runs: a 4 KiB sync beside "
                     "them took up to %.0f µs, at its best %.0f µs\n",
                     slow, runs, slowest_us, best_sync_us);
    }
}

std::string quoted(std::string_view text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            result += '\\';
            result += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
            result += escape;
        } else {
            result += c;
        }
    }
    return result + '"';
}

std::string figures_json(const Figures& figures) {
    std::string result = "{";
    for (const auto& [name, value] : figures) {
        result += (result.size() > 1 ? ", " : "") + quoted(name) + ": ";
        result += std::isfinite(value) ? format("%.9g", value) : "null";
    }
    return result + "}";
}

template <typename List, typename ToJson>
std::string list_json(const List& list, const std::string& indent, ToJson to_json_of) {
    std::string result = "[";
    for (const auto& item : list) {
        result += (result.size() > 1 ? ",\n" : "\n") + indent + to_json_of(item);
    }
    return result + "]";
}

std::string standing_json(const Standing& standing) {
    return "{\"name\": " + quoted(standing.name) +
           ",\n       \"median\": " + figures_json(standing.median) +
           ",\n       \"errors\": " + list_json(standing.errors, "         ", quoted) +
           ",\n       \"runs\": " + list_json(standing.runs, "         ", figures_json) + "}";
}

std::string outcome_json(const Outcome& outcome) {
    return "{\"name\": " + quoted(outcome.workload.name) +
           ",\n     \"title\": " + quoted(outcome.workload.title) +
           ",\n     \"durability\": " + quoted(outcome.workload.durability) +
           ",\n     \"contenders\": " + list_json(outcome.standings, "      ", standing_json) + "}";
}

}  // namespace

Machine describe_machine(const std::string& folder) {
    Machine machine;
    machine.cores = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
    utsname names{};
    if (::uname(&names) == 0) {
        machine.kernel = names.release;
    }
    struct statfs system {};
    if (::statfs(folder.c_str(), &system) == 0) {
        constexpr auto tmpfs = 0x01021994;
        machine.in_memory = system.f_type == tmpfs;
        machine.file_system = system.f_type == 0xEF53       ? "ext4"
                              : system.f_type == 0x58465342 ? "xfs"
                              : system.f_type == 0x9123683E ? "btrfs"
                              : system.f_type == 0x794C7630 ? "overlayfs"
                              : machine.in_memory           ? "tmpfs"
                                                            : "another";
    }
    return machine;
}

void print_outcome(std::FILE* out, const Outcome& outcome, double best_sync_us) {
    constexpr std::size_t name_width = 24;
    const Workload& workload = outcome.workload;
    std::fprintf(out, "\n%s: %s\n", workload.name.c_str(), workload.title.c_str());
    if (!workload.durability.empty()) {
        std::fprintf(out, "    %s\n", workload.durability.c_str());
    }
    std::fprintf(out, "    %*s", static_cast<int>(name_width), "");
    std::vector<std::size_t> widths;
    for (const std::string& figure : workload.columns) {
        widths.push_back(std::max<std::size_t>(width_of(heading_of(figure).text), 8) + 2);
        print_padded(out, heading_of(figure).text, widths.back());
    }
    for (const Standing& standing : outcome.standings) {
        std::fprintf(out, "\n    %-*s", static_cast<int>(name_width), standing.name.c_str());
        for (std::size_t i = 0; i < widths.size() && !standing.runs.empty(); ++i) {
            print_padded(out, cell(standing, workload.columns[i]), widths[i]);
        }
        if (!standing.errors.empty()) {
            std::fprintf(out, "  %zu runs failed", standing.errors.size());
        }
    }
    std::fprintf(out, "\n");
    for (const Goal& goal : workload.goals) {
        print_goal(out, outcome, goal);
    }
    print_disk_warning(out, outcome, best_sync_us);
    std::fflush(out);
}

std::string to_json(const Report& report) {
    return "{\"machine\": {\"cores\": " + std::to_string(report.machine.cores) +
           ", \"kernel\": " + quoted(report.machine.kernel) +
           ", \"file_system\": " + quoted(report.machine.file_system) +
           "},\n \"runs\": " + std::to_string(report.runs) +
           ",\n \"workloads\": " + list_json(report.outcomes, "    ", outcome_json) + "}\n";
}

}  // namespace mqd::bench
