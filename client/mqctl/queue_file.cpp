#include "client/mqctl/queue_file.hpp"

#include <algorithm>

#include "client/mqctl/queue_option_list.hpp"
#include "daemon/config/config.hpp"

namespace mqd::mqctl {
namespace {

DesiredQueue to_desired(const DeclaredQueue& declared) {
    DesiredQueue desired{declared.definition.name, {}};
    for_each_option([&](std::string_view key, auto option, auto field) {
        if (std::find(declared.said.begin(), declared.said.end(), key) != declared.said.end()) {
            desired.options.*option = declared.definition.*field;
        }
    });
    return desired;
}

Result<std::vector<DesiredQueue>> to_desired(const Result<std::vector<DeclaredQueue>>& declared) {
    if (!declared) {
        return declared.error();
    }
    std::vector<DesiredQueue> queues;
    for (const DeclaredQueue& queue : *declared) {
        queues.push_back(to_desired(queue));
    }
    return queues;
}

}  // namespace

Result<std::vector<DesiredQueue>> read_queue_file(const std::string& path) {
    return to_desired(load_queues(path.empty() ? "/dev/stdin" : path));
}

Result<std::vector<DesiredQueue>> parse_queue_file(std::string_view text, const std::string& name) {
    return to_desired(parse_queues(text, name));
}

}  // namespace mqd::mqctl
