#pragma once

// Result<T>: a value or an Error, never ignored. Its interface is the part of std::expected that is
// used here, so that it can be replaced by that one day; it is our own because installed headers
// may include the standard library only, and C++20 has none.

#include <optional>
#include <utility>
#include <variant>

#include "mqd/assert.hpp"
#include "mqd/error.hpp"

namespace mqd {

template <typename T>
class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

    [[nodiscard]] bool has_value() const { return state_.index() == 0; }
    explicit operator bool() const { return has_value(); }

    // Precondition: has_value().
    [[nodiscard]] T& value() & { return check(), *std::get_if<0>(&state_); }
    [[nodiscard]] const T& value() const& { return check(), *std::get_if<0>(&state_); }
    [[nodiscard]] T&& value() && { return check(), std::move(*std::get_if<0>(&state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    // Precondition: !has_value().
    [[nodiscard]] const Error& error() const {
        MQD_ASSERT(!has_value());
        return *std::get_if<1>(&state_);
    }

  private:
    void check() const { MQD_ASSERT(has_value()); }

    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
  public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

    [[nodiscard]] bool has_value() const { return !error_.has_value(); }
    explicit operator bool() const { return has_value(); }
    [[nodiscard]] const Error& error() const {
        MQD_ASSERT(!has_value());
        return *error_;
    }

  private:
    std::optional<Error> error_;
};

}  // namespace mqd
