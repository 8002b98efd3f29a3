#pragma once

// The file of `queue apply`: the queues that it declares, in the words and with the errors of
// mqd.toml(5).

#include <string>
#include <string_view>
#include <vector>

#include "mqd/client.hpp"
#include "mqd/result.hpp"

namespace mqd::mqctl {

// What neither the section of the queue nor [queue_defaults] says is not said.
struct DesiredQueue {
    std::string name;
    QueueOptions options;
};

// In order of name. Without a path: standard input. Errors: bad_config, with "FILE:LINE:COLUMN: "
// in its text, and io_error.
[[nodiscard]] Result<std::vector<DesiredQueue>> read_queue_file(const std::string& path);

// The same for a text; `name` stands for the file in errors.
[[nodiscard]] Result<std::vector<DesiredQueue>> parse_queue_file(std::string_view text,
                                                                 const std::string& name);

}  // namespace mqd::mqctl
