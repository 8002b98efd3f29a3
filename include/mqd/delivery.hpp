#pragma once

// What a consumer is handed: views into the receive buffer of its connection. A Delivery and
// everything that it views is valid until the next receive on the same consumer, or until the
// consumer or the client ends; copy what is to live longer. Part of mqd/client.hpp.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mqd/types.hpp"
#include "mqd/wire/batch.hpp"

namespace mqd {

// A header of a message: `key` of 1..255 bytes, any `value`. Views; keys may repeat. All headers of
// a message together have at most 65,535 bytes, 5 more for each header included.
using Header = wire::HeaderView;

// Headers to publish, as a view: from a list in braces, an array, a vector or a span of Header.
class HeaderList {
  public:
    HeaderList() = default;
    HeaderList(std::initializer_list<Header> list) { view(list.begin(), list.size()); }
    HeaderList(std::span<const Header> list) : list_(list) {}     // NOLINT: implicit
    HeaderList(const std::vector<Header>& list) : list_(list) {}  // NOLINT: implicit

    [[nodiscard]] bool empty() const { return list_.empty(); }
    [[nodiscard]] auto begin() const { return list_.begin(); }
    [[nodiscard]] auto end() const { return list_.end(); }

  private:
    void view(const Header* first, std::size_t count) { list_ = {first, count}; }

    std::span<const Header> list_;
};

// The headers of a received message, read in place. Attributes that are no headers are passed over.
class Headers {
  public:
    Headers() = default;
    explicit Headers(wire::Bytes attributes) : attributes_(attributes) {}

    class Iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Header;
        using difference_type = std::ptrdiff_t;
        using pointer = const Header*;
        using reference = const Header&;

        Iterator() = default;
        explicit Iterator(wire::Bytes attributes) : reader_(attributes) { ++*this; }

        reference operator*() const { return *header_; }
        pointer operator->() const { return &*header_; }
        Iterator& operator++() {
            header_.reset();
            while (const auto attribute = reader_.next()) {
                header_ = wire::decode_header(*attribute);
                if (header_) {
                    break;
                }
            }
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const Iterator& it, std::default_sentinel_t) {
            return !it.header_.has_value();
        }

      private:
        wire::AttributeReader reader_{wire::Bytes{}};
        std::optional<Header> header_;
    };

    [[nodiscard]] Iterator begin() const { return Iterator(attributes_); }
    [[nodiscard]] std::default_sentinel_t end() const { return {}; }
    [[nodiscard]] bool empty() const { return attributes_.empty() || begin() == end(); }

    // The value of the first header of that key.
    [[nodiscard]] std::optional<std::string_view> find(std::string_view key) const {
        for (auto it = begin(); it != end(); ++it) {
            if (it->key == key) {
                return it->value;
            }
        }
        return std::nullopt;
    }

    // The encoded attributes, as they travel.
    [[nodiscard]] wire::Bytes attributes() const { return attributes_; }

  private:
    wire::Bytes attributes_;
};

// Nothing if the message says none, which is as good as 0.
[[nodiscard]] inline std::optional<unsigned> find_priority(wire::Bytes attributes) {
    wire::AttributeReader reader(attributes);
    while (const auto attribute = reader.next()) {
        if (attribute->id == static_cast<std::uint16_t>(wire::AttributeId::priority) &&
            attribute->value.size() == 1) {
            return wire::load<std::uint8_t>(attribute->value.data());
        }
    }
    return std::nullopt;
}

using DeadLetterCause = wire::DeadLetterCause;

// What a dead letter was, and how it came to be one (docs/protocol.md, "Dead letters"). Its own
// copy, unlike the rest of a delivery.
struct DeadLetter {
    DeadLetterCause cause{};     // of a later daemon, it may be another than those known here
    std::uint32_t attempts = 0;  // how often it had been delivered
    WallTime first_failed;       // when the first delivery ended without an ack
    WallTime last_failed;
    std::string queue;  // where it was, and its number there
    QueueId incarnation;
    MessageNumber number;
    std::string reason;  // what the last consumer said that gave one

    // The message id that it had.
    [[nodiscard]] std::string id() const { return format_message_id(queue, incarnation, number); }
};

// Empty for a message without a group.
[[nodiscard]] inline std::string_view find_group(wire::Bytes attributes) {
    const auto key = wire::find_attribute(attributes, wire::AttributeId::group);
    return key ? wire::as_text(*key) : std::string_view();
}

// Empty for a message without an id of its own.
[[nodiscard]] inline std::string_view find_dedup_id(wire::Bytes attributes) {
    const auto id = wire::find_attribute(attributes, wire::AttributeId::dedup_id);
    return id ? wire::as_text(*id) : std::string_view();
}

// Nothing for a message that is no dead letter.
[[nodiscard]] inline std::optional<DeadLetter> find_dead_letter(wire::Bytes attributes) {
    std::optional<DeadLetter> found;
    wire::AttributeReader reader(attributes);
    while (const auto attribute = reader.next()) {
        if (const auto view = wire::decode_dead_letter(*attribute)) {
            found = {view->cause,       view->attempts,           view->first_failed,
                     view->last_failed, std::string(view->queue), view->incarnation,
                     view->number,      std::string(view->reason)};
        }
    }
    return found;
}

// One message, leased to the consumer until it is settled (ack, nack), the lease runs out or the
// connection ends.
struct Delivery {
    MessageNumber number;
    std::uint32_t attempt = 0;  // 1 at the first delivery of the message, 2 at the second, …
    WallTime published;         // when the daemon took the message
    Identity sender;            // whom the daemon saw publishing it
    Headers headers;
    std::string_view body;

    [[nodiscard]] wire::Bytes bytes() const { return wire::as_bytes(body); }
    // The key of its group; empty: it has none.
    [[nodiscard]] std::string_view group() const { return find_group(headers.attributes()); }
    // MessageOptions::dedup_id; empty: it has none.
    [[nodiscard]] std::string_view dedup_id() const { return find_dedup_id(headers.attributes()); }
    // What it was, if it is a dead letter.
    [[nodiscard]] std::optional<DeadLetter> dead_letter() const {
        return find_dead_letter(headers.attributes());
    }
    // Nothing: it says none.
    [[nodiscard]] std::optional<unsigned> priority() const {
        return find_priority(headers.attributes());
    }
};

// Consecutive messages that came in one frame: what stands in common once, and the messages in
// order: for (const Delivery& message : batch) …
class DeliveredBatch {
  public:
    MessageRange range;
    std::uint32_t attempt = 0;
    WallTime published;
    Identity sender;
    wire::Bytes encoded;  // range.count messages, as they travel (wire/batch.hpp)

    class Iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Delivery;
        using difference_type = std::ptrdiff_t;
        using pointer = const Delivery*;
        using reference = const Delivery&;

        Iterator() = default;
        explicit Iterator(const DeliveredBatch& batch) : reader_(batch.encoded) {
            current_.number = batch.range.first;
            current_.attempt = batch.attempt;
            current_.published = batch.published;
            current_.sender = batch.sender;
            read();
        }

        reference operator*() const { return current_; }
        pointer operator->() const { return &current_; }
        Iterator& operator++() {
            current_.number = current_.number.plus(1);
            read();
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const Iterator& it, std::default_sentinel_t) { return it.end_; }

      private:
        void read() {
            const auto message = reader_.next();
            end_ = !message.has_value();
            if (message) {
                current_.headers = Headers(message->attributes);
                current_.body = wire::as_text(message->body);
            }
        }

        wire::BatchReader reader_{wire::Bytes{}};
        Delivery current_;
        bool end_ = true;
    };

    [[nodiscard]] Iterator begin() const { return Iterator(*this); }
    [[nodiscard]] std::default_sentinel_t end() const { return {}; }
    [[nodiscard]] std::uint64_t size() const { return range.count; }
};

}  // namespace mqd
