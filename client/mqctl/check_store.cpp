#include "client/mqctl/check_store.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <system_error>

#include "client/mqctl/talk.hpp"

namespace mqd::mqctl {
namespace {

constexpr std::string_view program = "/mqd";

std::string own_path() {
    std::array<char, PATH_MAX> path{};
    const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
    return size < 0 ? std::string() : std::string(path.data(), static_cast<std::size_t>(size));
}

}  // namespace

std::vector<std::string> daemon_candidates(std::string_view own_path,
                                           std::string_view search_path) {
    std::vector<std::string> candidates;
    const auto add = [&candidates](std::string_view folder) {
        candidates.push_back(std::string(folder) + std::string(program));
    };
    if (const std::size_t slash = own_path.rfind('/'); slash != std::string_view::npos) {
        add(own_path.substr(0, slash));
    }
    while (!search_path.empty()) {
        const std::size_t colon = search_path.find(':');
        const std::string_view folder = search_path.substr(0, colon);
        if (folder.starts_with('/')) {  // what lies in the folder where we happen to be is not ours
            add(folder);
        }
        search_path.remove_prefix(colon == std::string_view::npos ? search_path.size() : colon + 1);
    }
    for (const std::string_view folder : {"/usr/local/sbin", "/usr/sbin", "/sbin"}) {
        add(folder);
    }
    return candidates;
}

ExitCode check_store(const CommandLine& line) {
    std::vector<std::string> arguments{"mqd", "--check-store=" + line.folder};
    if (line.global.output == "json") {
        arguments.emplace_back("--json");
    }
    std::vector<char*> pointers;
    pointers.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) {
        pointers.push_back(argument.data());
    }
    pointers.push_back(nullptr);
    (void)std::signal(SIGPIPE, SIG_DFL);
    const char* const search_path = std::getenv("PATH");
    for (const std::string& candidate :
         daemon_candidates(own_path(), search_path == nullptr ? "" : search_path)) {
        (void)::execv(candidate.c_str(), pointers.data());
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) {
            Talk().complain("cannot run " + candidate + ": " +
                            std::generic_category().message(errno));
            return ExitCode::failed;
        }
    }
    Talk().complain(
        "there is no mqd to look at the store with: not beside mqctl, not in PATH, and not in "
        "/usr/sbin");
    return ExitCode::failed;
}

}  // namespace mqd::mqctl
