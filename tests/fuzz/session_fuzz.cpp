// Any bytes, cut anywhere, to a session of a core with queues in it: it answers in whole frames, or
// closes, and the core goes on for everybody else. The first byte says how the rest is cut; HELLO
// was said already if its lowest bit is set.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "daemon/core/session.hpp"
#include "mqd/assert.hpp"
#include "mqd/wire/admin.hpp"
#include "support/sim_daemon.hpp"

// A build for fuzzing makes no test libraries.
#include "support/sim_disk.cpp"
#include "support/sim_worker.cpp"

namespace {

using namespace mqd;

core::CoreOptions small_options() {
    core::CoreOptions options;
    options.journal = {64 * 1024, 4 * 64 * 1024};
    options.queues_max = 8;
    options.handles_max = 8;
    options.message_bytes_max = 4096;
    options.memory_bytes_max = 100'000;
    options.output_bytes_max = 60'000;
    return options;
}

class Target {
  public:
    Target() {
        const auto started = daemon_.start(small_options());
        MQD_ASSERT(started.has_value());
        daemon_.begin_turn();
        declare("d", Durability::disk);
        declare("w", Durability::written);
        declare("m", Durability::memory);
        daemon_.end_turn();
        daemon_.settle();
        MQD_ASSERT(daemon_.core().serving());
    }

    void run(wire::Bytes input) {
        const auto how = static_cast<std::size_t>(input.empty() ? std::byte{0} : input.front());
        input = input.subspan(std::min<std::size_t>(1, input.size()));
        session_ = std::make_unique<core::Session>(daemon_.core(), Identity{1, 2, 3}, nullptr);
        if (how % 2 != 0) {
            wire::Hello hello;
            hello.frame_body_bytes_max = 1 << 20;
            std::vector<std::byte> bytes;
            wire::append_frame(bytes, hello);
            receive(bytes);
        }
        const std::size_t step = how / 2 == 0 ? input.size() : how / 2;
        while (!input.empty()) {
            const std::size_t count = std::min(step, input.size());
            // A copy that ends where the bytes end: the sanitizer sees a byte read too far.
            const std::vector<std::byte> bytes(input.begin(),
                                               input.begin() + static_cast<std::ptrdiff_t>(count));
            receive(bytes);
            input = input.subspan(count);
        }
        daemon_.settle_for(std::chrono::milliseconds(50));
        read_output();
        session_.reset();
        daemon_.settle();
        MQD_ASSERT(!daemon_.core().failure());
    }

  private:
    void declare(const char* name, Durability durability) {
        engine::QueueDefinition definition;
        definition.name = name;
        definition.durability = durability;
        daemon_.core().declare_queue(definition);
    }

    void receive(wire::Bytes bytes) {
        daemon_.begin_turn();
        session_->receive(bytes);
        daemon_.end_turn();
        daemon_.settle();
        if (!session_->overflowed()) {
            read_output();
        }
    }

    // Whole frames of the daemon's own.
    void read_output() {
        std::vector<wire::Bytes> pieces(64);
        while (!session_->output().empty()) {
            std::size_t sent = 0;
            for (std::size_t i = 0, n = session_->output().gather(pieces); i < n; ++i) {
                output_.insert(output_.end(), pieces[i].begin(), pieces[i].end());
                sent += pieces[i].size();
            }
            session_->output_sent(sent);
        }
        std::size_t at = 0;
        while (output_.size() - at >= wire::frame_header_bytes) {
            const wire::FrameHeader header = wire::decode_frame_header(output_.data() + at);
            const auto type = static_cast<std::uint8_t>(header.type);
            MQD_ASSERT(type >= 0x80 || header.type == wire::FrameType::credit, type);
            MQD_ASSERT(header.body_bytes <= wire::frame_body_bytes_hard_max, header.body_bytes);
            at += wire::frame_header_bytes + header.body_bytes;
            MQD_ASSERT(at <= output_.size(), at, output_.size());
        }
        MQD_ASSERT(at == output_.size(), at, output_.size());
        output_.clear();
    }

    test::SimDisk disk_;
    test::SimDaemon daemon_{disk_};
    std::unique_ptr<core::Session> session_;
    std::vector<std::byte> output_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Target().run(std::as_bytes(std::span(data, size)));
    return 0;
}
