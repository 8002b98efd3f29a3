#include "client/mqctl/turn.hpp"

namespace mqd::mqctl {

void tell_turn(const Session& session, Consumer& consumer) {
    if (session.line().consume.sharing != Sharing::single_active) {
        return;
    }
    const std::string queue = '"' + session.line().queue + '"';
    const auto say_active = [&session, queue] { session.talk().note("active on " + queue); };
    if (consumer.active()) {
        return say_active();
    }
    session.talk().note("waiting for " + queue + ": another consumer is active");
    consumer.on_active(say_active);
}

}  // namespace mqd::mqctl
