#include "daemon/engine/producer_marks.hpp"

#include <algorithm>

#include "daemon/engine/engine.hpp"

namespace mqd::engine {

ProducerMark& Engine::open_mark(Queue& queue, std::string_view name) {
    MQD_ASSERT(!name.empty());
    if (queue.marks_ == nullptr) {
        queue.marks_ = std::make_unique<ProducerMarks>();
    }
    auto at = queue.marks_->find(name);
    if (at == queue.marks_->end()) {
        at = queue.marks_->emplace(name, ProducerMark{}).first;
        at->second.name = at->first;
        ++producer_marks_;
    }
    ++at->second.openings;
    return at->second;
}

void Engine::admit_lines(ProducerMark& mark, LineNumber last) {
    MQD_ASSERT(last > mark.taken, last, mark.taken);
    mark.taken = last;
}

void Engine::apply(ProducerMark& mark, LineNumber line, WallTime used) {
    MQD_ASSERT(line > mark.applied && line <= mark.taken, line, mark.taken);
    mark.applied = line;
    mark.used = used;
}

void Engine::apply(const MarkProducer& command) {
    Queue* queue = find(command.id);
    MQD_ASSERT(queue != nullptr, command.id);
    ProducerMark& mark = open_mark(*queue, command.name);
    if (command.line > mark.applied) {
        mark.applied = command.line;
        mark.taken = std::max(mark.taken, command.line);
        mark.used = command.used;
    }
}

void Engine::forget_mark(Queue& queue, const ProducerMark& mark) {
    MQD_ASSERT(mark.taken.value() == 0, mark.taken);
    const auto at = queue.marks_->find(mark.name);
    MQD_ASSERT(at != queue.marks_->end());
    queue.marks_->erase(at);
    --producer_marks_;
}

}  // namespace mqd::engine
