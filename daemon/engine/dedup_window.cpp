#include "daemon/engine/dedup_window.hpp"

#include "daemon/engine/engine.hpp"

namespace mqd::engine {

void Engine::open_dedup(Queue& queue, DedupKey key) {
    if (queue.dedup_ == nullptr) {
        queue.dedup_ = std::make_unique<DedupWindow>(key, dedup_ids_);
    }
}

void Engine::close_dedup(Queue& queue) {
    queue.dedup_.reset();
}

// What is on its way stays: whoever publishes it once more is told its number.
void Engine::forget_ids(Queue& queue, Time now, std::size_t at_most) {
    if (queue.dedup_ == nullptr) {
        return;
    }
    DedupWindow& window = *queue.dedup_;
    const QueueDefinition& definition = queue.definition_;
    window.forget_oldest(at_most, [&](const DedupTable::Entry& oldest) {
        const bool over = oldest.taken + definition.dedup_window <= now ||
                          window.table().size() > definition.dedup_count;
        return over && !is_expected(oldest.number) &&
               oldest.number < queue.numbers_.applied(oldest.number);
    });
}

void Engine::note_duplicates(Queue& queue, std::uint64_t count) {
    queue.duplicates_ += count;
    duplicate_messages_ += count;
}

}  // namespace mqd::engine
