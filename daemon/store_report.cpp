#include "daemon/store_report.hpp"

#include <array>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <utility>

namespace mqd {
namespace {

// How many bytes of a UTF-8 sequence begin `text`; 0: what begins it is none.
std::size_t utf8_length(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text[0]);
    const std::size_t length = lead < 0x80   ? 1
                               : lead < 0xC2 ? 0
                               : lead < 0xE0 ? 2
                               : lead < 0xF0 ? 3
                               : lead < 0xF5 ? 4
                                             : 0;
    if (length == 0 || text.size() < length) {
        return 0;
    }
    for (std::size_t i = 1; i < length; ++i) {
        if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) {
            return 0;
        }
    }
    const auto second = static_cast<unsigned char>(length > 1 ? text[1] : 0);
    const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
    const bool surrogate = lead == 0xED && second >= 0xA0;
    const bool too_high = lead == 0xF4 && second >= 0x90;
    return overlong || surrogate || too_high ? 0 : length;
}

class JsonObject {
  public:
    JsonObject& add(std::string_view name, std::uint64_t value) {
        return add_raw(name, std::to_string(value));
    }
    JsonObject& add(std::string_view name, std::string_view value) {
        return add_raw(name, json_quoted(value));
    }
    JsonObject& add_raw(std::string_view name, const std::string& value) {
        text_ += text_.size() > 1 ? "," : "";
        text_ += json_quoted(name) + ':' + value;
        return *this;
    }
    [[nodiscard]] std::string text() const { return text_ + '}'; }

  private:
    std::string text_ = "{";
};

std::string json_of(const core::StoreFinding& finding) {
    JsonObject object;
    object.add("kind", core::to_text(finding.kind));
    if (!finding.file.empty()) {
        object.add("file", finding.file);
    }
    if (finding.offset) {
        object.add("offset", *finding.offset);
    }
    if (!finding.queue.empty()) {
        object.add("queue", finding.queue);
    }
    if (finding.queue_id.value() != 0) {
        object.add("incarnation", finding.queue_id.value());
    }
    if (finding.range.count > 0) {
        object.add("first", finding.range.first.value());
        object.add("last", finding.range.end().value() - 1);
    }
    object.add("messages", finding.messages);
    object.add("times", finding.times);
    return object.add("text", finding.text).text();
}

template <typename Items, typename Fn>
std::string json_list(const Items& items, Fn&& text_of) {
    std::string list = "[";
    for (const auto& item : items) {
        list += list.size() > 1 ? "," : "";
        list += text_of(item);
    }
    return list + ']';
}

std::string line(std::string_view name, const std::string& value) {
    std::string text(name);
    text.resize(14, ' ');
    return text + value + '\n';
}

}  // namespace

std::string json_quoted(std::string_view text) {
    std::string quoted = "\"";
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        const auto byte = static_cast<unsigned char>(text[0]);
        if (length == 0) {
            quoted += "\\ufffd";
        } else if (byte == '"' || byte == '\\') {
            quoted += {'\\', text[0]};
        } else if (byte < 0x20) {
            std::array<char, 8> escape{};
            std::snprintf(escape.data(), escape.size(), "\\u%04x", byte);
            quoted += escape.data();
        } else {
            quoted += text.substr(0, length);
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return quoted + '"';
}

std::string format_report(const core::StoreReport& report, const std::string& folder) {
    std::string text;
    text += line("store", folder);
    text += line("journal", report.verdict);
    text += line("sequence", std::to_string(report.sequence));
    text += line("checkpoint", report.checkpoint == 0 ? "none" : std::to_string(report.checkpoint));
    text +=
        line("files", std::to_string(report.files) + " (" + std::to_string(report.journal_files) +
                          " of the journal, " + std::to_string(report.segments) + " segments)");
    text += line("bytes", std::to_string(report.bytes));
    text += line("queues", std::to_string(report.queues));
    text += line("messages", std::to_string(report.messages) + " read");
    text += line("live", std::to_string(report.live));
    text += line("pages", std::to_string(report.pages));
    const std::uint64_t all = report.damaged + report.unreadable;
    text += line("findings", report.sound() ? "none: the store is sound" : std::to_string(all));
    for (const core::StoreFinding& finding : report.findings) {
        text += "damage: ";
        if (finding.kind == core::StoreFinding::Kind::unreadable) {
            text.resize(text.size() - std::string_view("damage: ").size());
            text += "unreadable: ";
        }
        text += finding.text;
        if (finding.times > 1) {
            text += " (and " + std::to_string(finding.times - 1) + " more like it)";
        }
        text += '\n';
    }
    if (all > report.findings.size()) {
        text += "... and " + std::to_string(all - report.findings.size()) + " more\n";
    }
    for (const core::StoreNote& note : report.notes) {
        text += "note: " + folder + '/' + note.file + ' ' + note.text + '\n';
    }
    return text;
}

std::string format_report_json(const core::StoreReport& report, const std::string& folder) {
    JsonObject object;
    object.add("store", folder).add_raw("sound", report.sound() ? "true" : "false");
    object.add("verdict", report.verdict).add("sequence", report.sequence);
    object.add("checkpoint", report.checkpoint).add("files", report.files);
    object.add("bytes", report.bytes).add("journal_files", report.journal_files);
    object.add("segments", report.segments).add("queues", report.queues);
    object.add("messages", report.messages).add("live", report.live).add("pages", report.pages);
    object.add("damaged", report.damaged).add("unreadable", report.unreadable);
    object.add_raw("findings", json_list(report.findings, json_of));
    object.add_raw("notes", json_list(report.notes, [](const core::StoreNote& note) {
                       return JsonObject().add("file", note.file).add("text", note.text).text();
                   }));
    return object.text() + '\n';
}

}  // namespace mqd
