// Queues are made, changed and deleted.

#include "daemon/core/core.hpp"
#include "daemon/core/queue_options.hpp"
#include "daemon/core/record.hpp"

namespace mqd::core {

void Core::declare_queue(const engine::QueueDefinition& definition) {
    if (auto created = engine_.admit_create(definition)) {  // else it is there
        append_create(*std::move(created));
    }
}

void Core::append_create(engine::CreateQueue command) {
    CommitGroup& group = open_group(create_queue_bytes(command.definition) + dedup_marks_bytes);
    append_create_queue(group.buffer, command);
    const QueueId id = command.id;
    const bool dedups = command.definition.dedup_window.count() > 0;
    group.commands.push_back({PendingCommand::Kind::create, Durability::disk, nullptr, nullptr,
                              static_cast<std::uint32_t>(group.creates.size()), 0});
    group.creates.push_back(std::move(command));
    if (dedups) {
        dedup_.append_opening(id, group);
    }
    raise_need(group, Need::durable);
}

// Those on their way included.
std::size_t Core::queues() const {
    std::size_t queues = engine_.queues().size();
    for (const CommitGroup& group : pending_) {
        queues += group.creates.size();
    }
    for (const CommitGroup& group : in_flight_) {
        queues += group.creates.size();
    }
    return queues;
}

Result<void> Core::create_queue(const wire::QueueCreate& frame, Session& session,
                                CorrelationId correlation) {
    if (queues() >= options_.queues_max) {
        return Error{ErrorCode::too_many_queues, "limits.queues is reached", options_.queues_max};
    }
    engine::QueueDefinition definition = options_.queue_defaults;
    definition.name = frame.queue;
    set_options(definition, frame.options);
    if (definition.temporary && !frame.options.durability) {
        definition.durability = Durability::memory;
    }
    if (const auto sound = check_definition(definition); !sound) {
        return sound.error();
    }
    Waiter waiter;
    waiter.kind = Waiter::Kind::queue_info;
    waiter.level = Durability::disk;
    waiter.correlation = correlation;
    waiter.queue = definition.name;
    if (const engine::Queue* same = engine_.find(definition.name)) {
        // As asked for, if what was said of it holds; an update may have changed the rest.
        engine::QueueDefinition wanted = same->definition();
        wanted.durability = definition.durability;
        wanted.lease = definition.lease;
        set_options(wanted, frame.options);
        if (same->deleting() || wanted != same->definition()) {
            return Error{ErrorCode::queue_exists,
                         "queue \"" + definition.name + "\" exists with other options" +
                             differing_options(wanted, same->definition())};
        }
        if (wanted.temporary && !lifetimes_.owns(session, *same)) {
            return Error{ErrorCode::queue_exists,
                         "queue \"" + definition.name + "\" exists, and goes with another session"};
        }
        lifetimes_.used(*same);
        waiter.commit = CommitId(0);
    } else {
        auto created = engine_.admit_create(std::move(definition));
        if (!created) {
            return created.error();  // being created at this moment
        }
        if (created->definition.temporary) {
            lifetimes_.own(session, created->id);
        }
        append_create(*std::move(created));
        waiter.commit = pending_.back().id;
    }
    wait(session, std::move(waiter));
    return {};
}

Result<void> Core::update_queue(engine::Queue& queue, const wire::QueueOptions& options,
                                Session& session, CorrelationId correlation) {
    if (options.durability.value_or(queue.definition().durability) !=
        queue.definition().durability) {
        return Error{ErrorCode::bad_option, "the durability of a queue cannot be changed"};
    }
    if ((options.priorities.value_or(queue.definition().priorities) != 0) !=
        queue.definition().priorities) {
        return Error{ErrorCode::bad_option,
                     "whether queue \"" + queue.name() + "\" has priorities cannot be changed"};
    }
    if (options.temporary && (*options.temporary != 0) != queue.definition().temporary) {
        return Error{ErrorCode::bad_option, "whether a queue is temporary cannot be changed"};
    }
    engine::QueueDefinition changed = queue.definition();
    set_options(changed, options);
    if (const auto sound = check_definition(changed); !sound) {
        return sound.error();
    }
    CommitGroup& group = open_group(create_queue_bytes(changed) + dedup_marks_bytes);
    append_update_queue(group.buffer, queue.id(), options);
    group.commands.push_back({PendingCommand::Kind::update, Durability::disk, nullptr, nullptr,
                              static_cast<std::uint32_t>(group.updates.size()), 0});
    group.updates.push_back({queue.id(), options, std::move(changed.dead_letter)});
    if (options.dedup_window_ms.value_or(0) > 0) {
        dedup_.append_opening(queue.id(), group);
    }
    raise_need(group, Need::durable);
    Waiter waiter;
    waiter.kind = Waiter::Kind::queue_info;
    waiter.commit = group.id;
    waiter.level = Durability::disk;
    waiter.correlation = correlation;
    waiter.queue = queue.name();
    wait(session, std::move(waiter));
    return {};
}

// Precondition: !queue.deleting().
void Core::append_delete(engine::Queue& queue) {
    engine_.admit_delete(queue);
    CommitGroup& group = open_group(record_header_bytes + 4);
    append_delete_queue(group.buffer, queue.id());
    group.commands.push_back(
        {PendingCommand::Kind::remove_queue, Durability::disk, &queue, nullptr, 0, 0});
    raise_need(group, Need::durable);
}

Result<void> Core::delete_queue(engine::Queue& queue, Session& session, CorrelationId correlation) {
    if (queue.deleting()) {
        return Error{ErrorCode::no_such_queue, "queue \"" + queue.name() + "\" is being deleted"};
    }
    append_delete(queue);
    Waiter waiter;
    waiter.kind = Waiter::Kind::done;
    waiter.commit = pending_.back().id;
    waiter.level = Durability::disk;
    waiter.correlation = correlation;
    waiter.done.count = queue.live() - queue.purged();
    wait(session, std::move(waiter));
    return {};
}

}  // namespace mqd::core
