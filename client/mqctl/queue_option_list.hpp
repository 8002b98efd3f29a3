#pragma once

// The options that a file can say of a queue: reading, comparing and showing them follow this one
// list. tests/mqctl/queue_file_test.cpp holds it together with the keys of the configuration.

#include <chrono>
#include <optional>
#include <string_view>

#include "daemon/config/config.hpp"
#include "mqd/client.hpp"

namespace mqd::mqctl {

// Calls fn(key, member of QueueOptions, member of QueueDefinition) for each option.
template <typename Fn>
void for_each_option(Fn&& fn) {
    using Options = QueueOptions;
    using Definition = engine::QueueDefinition;
    fn(std::string_view("durability"), &Options::durability, &Definition::durability);
    fn(std::string_view("lease"), &Options::lease, &Definition::lease);
    fn(std::string_view("max_attempts"), &Options::max_attempts, &Definition::max_attempts);
    fn(std::string_view("dead_letter"), &Options::dead_letter, &Definition::dead_letter);
    fn(std::string_view("max_messages"), &Options::max_messages, &Definition::max_messages);
    fn(std::string_view("max_bytes"), &Options::max_bytes, &Definition::max_bytes);
    fn(std::string_view("on_full"), &Options::on_full, &Definition::on_full);
    fn(std::string_view("retry"), &Options::retry, &Definition::retry);
    fn(std::string_view("priorities"), &Options::priorities, &Definition::priorities);
    fn(std::string_view("group_in_flight"), &Options::group_in_flight,
       &Definition::group_in_flight);
    fn(std::string_view("group_rate"), &Options::group_rate, &Definition::group_rate);
    fn(std::string_view("ttl"), &Options::ttl, &Definition::ttl);
    fn(std::string_view("on_expired"), &Options::on_expired, &Definition::on_expired);
    fn(std::string_view("expire_idle"), &Options::expire_idle, &Definition::expire_idle);
    fn(std::string_view("history"), &Options::history, &Definition::history);
    fn(std::string_view("history_time"), &Options::history_time, &Definition::history_time);
    fn(std::string_view("undo_time"), &Options::undo_time, &Definition::undo_time);
    fn(std::string_view("dedup_window"), &Options::dedup_window, &Definition::dedup_window);
    fn(std::string_view("dedup_count"), &Options::dedup_count, &Definition::dedup_count);
}

// Whether a member of QueueOptions says anything.
[[nodiscard]] inline bool is_said(Durability value) {
    return value != Durability::unspecified;
}
[[nodiscard]] inline bool is_said(OnFull value) {
    return value != OnFull::unspecified;
}
[[nodiscard]] inline bool is_said(OnExpired value) {
    return value != OnExpired::unspecified;
}
[[nodiscard]] inline bool is_said(std::chrono::milliseconds value) {
    return value.count() != 0;
}
template <typename T>
[[nodiscard]] bool is_said(const std::optional<T>& value) {
    return value.has_value();
}

}  // namespace mqd::mqctl
