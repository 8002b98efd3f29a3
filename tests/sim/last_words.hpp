#pragma once

// What a program says when a signal or a sanitizer ends it: a failed assertion of the daemon inside
// a simulation aborts, and somebody has to say which seed it was. Handlers that were there before,
// such as doctest's, have their turn afterwards. At most one at a time.

#include <array>
#include <csignal>
#include <string_view>

namespace mqd::sim {

class LastWords {
  public:
    LastWords();
    ~LastWords();
    LastWords(const LastWords&) = delete;
    LastWords& operator=(const LastWords&) = delete;

    // Cut at 500 bytes.
    void set(std::string_view words);

  private:
    struct Previous {
        int signal = 0;
        struct sigaction action {};
    };
    static void handle(int signal);
    static void say();
    static LastWords* current;

    std::array<Previous, 7> previous_;
    std::array<char, 500> words_{};
    volatile std::sig_atomic_t bytes_ = 0;
};

}  // namespace mqd::sim
