#include "sim/last_words.hpp"

#include <unistd.h>

#include <algorithm>

#include "mqd/assert.hpp"
#include "support/sanitized.hpp"

// The interface of all sanitizers that end a program.
extern "C" void __sanitizer_set_death_callback(void (*callback)());

namespace mqd::sim {

namespace {

constexpr int signals[] = {SIGABRT, SIGINT, SIGTERM, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
// A sanitizer tells more about those that come after these than anybody else could.
constexpr std::size_t handled = test::sanitized ? 3 : std::size(signals);

}  // namespace

LastWords* LastWords::current = nullptr;

LastWords::LastWords() {
    static_assert(std::size(signals) == std::tuple_size_v<decltype(previous_)>);
    MQD_ASSERT(current == nullptr);
    current = this;
    for (std::size_t i = 0; i < handled; ++i) {
        struct sigaction action {};
        action.sa_handler = &LastWords::handle;
        previous_[i].signal = signals[i];
        ::sigaction(signals[i], &action, &previous_[i].action);
    }
    if constexpr (test::sanitized) {
        ::__sanitizer_set_death_callback(&LastWords::say);
    }
}

LastWords::~LastWords() {
    if constexpr (test::sanitized) {
        ::__sanitizer_set_death_callback(nullptr);
    }
    for (std::size_t i = 0; i < handled; ++i) {
        ::sigaction(previous_[i].signal, &previous_[i].action, nullptr);
    }
    current = nullptr;
}

void LastWords::set(std::string_view words) {
    bytes_ = 0;
    const std::size_t bytes = std::min(words.size(), words_.size());
    std::copy_n(words.begin(), bytes, words_.begin());
    bytes_ = static_cast<std::sig_atomic_t>(bytes);
}

void LastWords::say() {
    const auto bytes = static_cast<std::size_t>(current->bytes_);
    if (::write(STDERR_FILENO, current->words_.data(), bytes) < 0) {
        // nobody is left to be told
    }
}

// The signal comes again when this returns, and finds the handler that was there before.
void LastWords::handle(int signal) {
    say();
    for (std::size_t i = 0; i < handled; ++i) {
        if (current->previous_[i].signal == signal) {
            ::sigaction(signal, &current->previous_[i].action, nullptr);
        }
    }
    std::raise(signal);
}

}  // namespace mqd::sim
