#pragma once

// How far each producer with a name has come in one queue: the number of its last line that was
// taken. Kept until the queue is gone, whatever becomes of the messages. Owned by the Queue.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "mqd/types.hpp"

namespace mqd::engine {

struct ProducerMark {
    std::string_view name;
    LineNumber taken{0};  // the last line that was admitted; 0: none yet
    LineNumber applied{0};
    WallTime used{};             // when the last one that is applied was taken
    std::uint64_t openings = 0;  // how often the name was opened in this process
    std::uint32_t handles = 0;   // that point to it, fenced ones included; counted by core
};

using ProducerMarks = std::map<std::string, ProducerMark, std::less<>>;

}  // namespace mqd::engine
