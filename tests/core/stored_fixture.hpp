#pragma once

// A small store with everything in it: journal files, segments of more than one queue, and both
// checkpoints; and what has to come out of it, by rule, whoever wrote it.

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "core/core_fixture.hpp"
#include "daemon/storage/checkpoint_file.hpp"
#include "daemon/storage/segment_format.hpp"

namespace mqd::core::test {

using mqd::test::SimDisk;

// The messages that live, by number.
using Living = std::map<std::uint64_t, std::string>;

class StoredFixture : public CoreFixture {
  public:
    static constexpr std::uint64_t file_bytes = 64 * 1024;
    static constexpr std::uint64_t messages = 240;  // published, in turn to each queue

    StoredFixture() {
        options.journal = {file_bytes, 8 * file_bytes};
        options.queues_max = 10;
        options.backlog.memory_bytes = 24'000;
        options.backlog.page_bytes = 3'000;
        options.backlog.flush_bytes = 6'000;
        options.backlog.segment_bytes = 12'000;
        options.backlog.own_segment_bytes = 8'000;
    }

    // The queues, and how safe their messages are.
    [[nodiscard]] static const std::map<std::string, Durability>& queues() {
        static const std::map<std::string, Durability> all = {{"orders", Durability::disk},
                                                              {"events", Durability::disk},
                                                              {"log", Durability::written}};
        return all;
    }
    [[nodiscard]] static std::string body_of(const std::string& queue, std::uint64_t number) {
        std::string body = queue + ' ' + std::to_string(number) + ' ';
        const std::uint64_t size = number % 9 == 0 ? 1500 : 40 + number * 7 % 200;
        for (std::uint64_t i = 0; i < size; ++i) {
            body += static_cast<char>('a' + (i * number + i / 26) % 26);
        }
        return body;
    }
    // Acked before the end; some of each page stays, and of some pages nothing.
    [[nodiscard]] static bool acked(std::uint64_t number) {
        return number % 3 == 0 || (number > 30 && number < 60);
    }
    [[nodiscard]] static Living living(const std::string& queue) {
        Living result;
        for (std::uint64_t number = 1; number <= messages; ++number) {
            if (!acked(number)) {
                result[number] = body_of(queue, number);
            }
        }
        return result;
    }

    void write_store() {
        start();
        std::map<std::string, WireClient*> of;
        for (const auto& [queue, durability] : queues()) {
            create(queue, durability);
            WireClient& client = connect();
            (void)client.open_producer(queue);
            (void)client.open_consumer(queue);
            of[queue] = &client;
        }
        for (std::uint64_t number = 1; number <= messages; number += 2) {
            for (const auto& [queue, client] : of) {
                client->publish(number, {body_of(queue, number), body_of(queue, number + 1)});
                daemon.settle();
                (void)client->take();
            }
            if (number == messages / 2 + 1) {
                halfway = disk.image();
            }
            for (const auto& [queue, client] : of) {
                if (number <= 40) {
                    continue;
                }
                for (const std::uint64_t old : {number - 40, number - 39}) {
                    if (acked(old)) {
                        client->ack(old);
                    }
                }
            }
            daemon.settle_for(options.commit_delay_max);
        }
        for (const auto& [queue, client] : of) {
            for (std::uint64_t number = messages - 39; number <= messages; ++number) {
                if (acked(number)) {
                    client->ack(number);
                }
            }
        }
        daemon.settle_for(std::chrono::seconds(3));  // all is synced, and sealed
        REQUIRE(daemon.core().journal().durable() == daemon.core().journal().last());
        (void)daemon.core().take_complaints();
        kill();
    }

    struct Looked {
        Result<void> started;
        std::map<std::string, Living> delivered;
        std::vector<std::string> complaints;
    };
    // Starts whatever lies on the disk, and consumes all of it.
    Looked look() {
        Looked looked{try_start(), {}, {}};
        if (!looked.started) {
            return looked;
        }
        std::vector<std::string> names;
        for (const auto& [name, queue] : daemon.core().engine().queues()) {
            names.push_back(name);
        }
        for (const std::string& name : names) {
            Living& there = looked.delivered[name];
            WireClient& client = connect();
            (void)client.open_consumer(name);
            daemon.settle();
            for (const Received& frame : client.take()) {
                const auto delivery = frame.as<wire::Deliver>();
                std::uint64_t number = delivery.first_number.value();
                for (std::string& body : bodies_of(delivery)) {
                    CHECK(there.emplace(number++, std::move(body)).second);
                }
            }
        }
        looked.complaints = daemon.core().take_complaints();
        clients.clear();
        daemon.end();
        disk.kill();
        return looked;
    }

    // --- what lies where

    [[nodiscard]] static std::vector<std::string> names_of(const SimDisk::Image& image,
                                                           std::string_view prefix) {
        std::vector<std::string> names;
        for (const auto& [name, contents] : image) {
            if (name.starts_with(prefix)) {
                names.push_back(name);
            }
        }
        return names;
    }
    struct FoundPageAt {
        std::uint64_t offset = 0;
        storage::PageHeader header;
        [[nodiscard]] std::uint64_t end() const {
            return offset + sizeof header + header.body_bytes;
        }
    };
    // The pages of a segment file, dead ones too.
    [[nodiscard]] static std::vector<FoundPageAt> pages_of(const std::string& name,
                                                           const SimDisk::Bytes& contents) {
        std::vector<FoundPageAt> pages;
        const auto number = *storage::segment_file_number(name);
        std::uint64_t at = sizeof(storage::SegmentHeader);
        while (at + sizeof(storage::PageHeader) <= contents.size()) {
            const auto found = storage::decode_page(std::span(contents).subspan(at), number, at);
            REQUIRE(found.wrong.empty());
            pages.push_back({at, found.header});
            at = (pages.back().end() + 7) / 8 * 8;
        }
        return pages;
    }

    SimDisk::Image halfway;  // as the disk was in the middle of it
};

}  // namespace mqd::core::test
