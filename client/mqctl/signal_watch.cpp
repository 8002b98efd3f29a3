#include "client/mqctl/signal_watch.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

namespace mqd::mqctl {

SignalWatch::SignalWatch() {
    sigset_t watched;
    (void)sigemptyset(&watched);
    (void)sigaddset(&watched, SIGINT);
    (void)sigaddset(&watched, SIGTERM);
    (void)sigaddset(&watched, SIGCHLD);
    if (::sigprocmask(SIG_BLOCK, &watched, &before_) != 0) {
        return;
    }
    descriptor_ = ::signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
    if (descriptor_ < 0) {
        (void)::sigprocmask(SIG_SETMASK, &before_, nullptr);
    }
}

SignalWatch::~SignalWatch() {
    if (descriptor_ >= 0) {
        (void)::close(descriptor_);
        (void)::sigprocmask(SIG_SETMASK, &before_, nullptr);
    }
}

std::optional<int> SignalWatch::take() {
    std::optional<int> ending;
    signalfd_siginfo info{};
    while (descriptor_ >= 0 && ::read(descriptor_, &info, sizeof info) == sizeof info) {
        const int signal = static_cast<int>(info.ssi_signo);
        if (signal == SIGINT || signal == SIGTERM) {
            ending = signal;
        }
    }
    return ending;
}

}  // namespace mqd::mqctl
