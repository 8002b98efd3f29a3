#include "client/queue_name.hpp"

#include "mqd/wire/frame.hpp"

namespace mqd::client {

std::string not_a_queue_name(std::string_view name) {
    constexpr char digits[] = "0123456789abcdef";
    std::string text = "not a queue name: \"";
    for (const char c : name.substr(0, wire::queue_name_bytes_max)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte > 0x7E || c == '"' || c == '\\') {
            text += {'\\', 'x', digits[byte >> 4], digits[byte & 0xF]};
        } else {
            text += c;
        }
    }
    return text + (name.size() > wire::queue_name_bytes_max ? "...\"" : "\"");
}

}  // namespace mqd::client
