// What the judge makes of messages with ids: clients publish once more what was confirmed to be on
// the disk, and it has to be confirmed as what it was, whatever happened meanwhile. That it is not
// delivered a second time follows from its name.

#include "sim/judge.hpp"

namespace mqd::sim {

// Whether it is the same message as one before.
bool Judge::sent_once_more(ProducerRecord& producer, Uid uid, const wire::MessageView& view) {
    const bool known = wire::find_attribute(view.attributes, wire::AttributeId::dedup_id) &&
                       producer.input == nullptr && first_numbers_.contains(uid);
    if (known) {
        producer.lines.push_back(uid | once_more);
        ++figures_.published;
    }
    return known;
}

void Judge::confirm_once_more(ProducerRecord& producer, Uid uid, MessageNumber number,
                              Durability durability) {
    const MessageNumber first = first_numbers_.at(uid & ~once_more);
    if (number != first) {
        violate(name(uid & ~once_more) + " was published once more to queue " +
                producer.queue->name + ", and is " + format_number(number) + " there, and not " +
                format_number(first));
    }
    if (durability < producer.queue->durability) {
        violate(name(uid & ~once_more) + " is confirmed below the durability of its queue");
    }
    ++figures_.known_again;
}

}  // namespace mqd::sim
