#include "client/mqctl/exit_code.hpp"

#include <doctest/doctest.h>

#include <csignal>

namespace mqd::mqctl {
namespace {

TEST_CASE("exit codes: the numbers that scripts branch on") {
    CHECK(static_cast<int>(ExitCode::done) == 0);
    CHECK(static_cast<int>(exit_code(ErrorCode::io_error)) == 1);
    CHECK(static_cast<int>(exit_code(ErrorCode::queue_exists)) == 1);
    CHECK(static_cast<int>(exit_code(ErrorCode::bad_name)) == 2);
    CHECK(static_cast<int>(exit_code(ErrorCode::bad_url)) == 2);
    CHECK(static_cast<int>(exit_code(ErrorCode::connect_failed)) == 3);
    CHECK(static_cast<int>(exit_code(ErrorCode::disconnected)) == 3);
    CHECK(static_cast<int>(exit_code(ErrorCode::stopping)) == 3);
    CHECK(static_cast<int>(exit_code(ErrorCode::not_permitted)) == 4);
    CHECK(static_cast<int>(exit_code(ErrorCode::no_such_queue)) == 5);
    CHECK(static_cast<int>(exit_code(ErrorCode::queue_deleted)) == 5);
    CHECK(static_cast<int>(exit_code(ErrorCode::timeout)) == 6);
    CHECK(static_cast<int>(exit_code(ErrorCode::memory_full)) == 7);
    CHECK(static_cast<int>(exit_code(ErrorCode::disk_full)) == 7);
    CHECK(static_cast<int>(exit_code(ErrorCode::message_too_big)) == 7);
    CHECK(static_cast<int>(exit_code(ErrorCode::queue_paused)) == 7);
    CHECK(static_cast<int>(exit_code(ErrorCode::damaged)) == 8);
    CHECK(static_cast<int>(exit_code(ErrorCode::outcome_unknown)) == 9);
    CHECK(static_cast<int>(exit_code_of_signal(SIGINT)) == 130);
    CHECK(static_cast<int>(exit_code_of_signal(SIGTERM)) == 143);
}

TEST_CASE("exit codes: a code of a later daemon is a plain failure") {
    CHECK(exit_code(static_cast<ErrorCode>(999)) == ExitCode::failed);
}

}  // namespace
}  // namespace mqd::mqctl
