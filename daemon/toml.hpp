#pragma once

// The one way to toml++. Its parser (3.3) states as an assumption what a damaged text can break,
// such as that a key follows a "["; compiled with NDEBUG that would be undefined behaviour. So its
// assumptions are checked here, in every build, and one that fails is an error like any other.

#include <exception>
#include <string>
#include <string_view>

#include "mqd/result.hpp"

namespace mqd {

class TomlAssumptionBroken : public std::exception {};

}  // namespace mqd

#define TOML_ASSERT(expression)                \
    do {                                       \
        if (!(expression)) {                   \
            throw mqd::TomlAssumptionBroken(); \
        }                                      \
    } while (false)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wterminate"  // in functions that cannot throw it ends the program
#ifdef NDEBUG
#undef NDEBUG
#include <toml++/toml.h>
#define NDEBUG  // NOLINT(readability-identifier-naming): the standard gives it that name
#else
#include <toml++/toml.h>
#endif
#pragma GCC diagnostic pop

namespace mqd {

// Errors: bad_config, with "FILE:LINE:COLUMN: " before what is wrong. `file` is for messages only.
Result<toml::table> parse_toml(std::string_view text, const std::string& file);

}  // namespace mqd
