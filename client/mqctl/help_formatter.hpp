#pragma once

// The usage line of the help. CLI11 does not see the operands (it would take a message "[a,b]"
// apart), so that line is ours. For options.cpp only.

#include <string>

#include <CLI/CLI.hpp>

namespace mqd::mqctl {

class HelpFormatter final : public CLI::Formatter {
  public:
    std::string make_usage(const CLI::App* app, std::string name) const override;
};

}  // namespace mqd::mqctl
