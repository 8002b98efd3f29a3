#include "daemon/storage/commit_pipeline.hpp"

#include <utility>

#include "daemon/storage/planted_fault.hpp"
#include "mqd/assert.hpp"

namespace mqd::storage {

namespace {

using Flight = CommitPipeline::Flight;

// The file's header block and its state group, synced before any other group is written: that group
// could not be read without them.
Result<void> write_beginning(Flight& flight) {
    const std::span<std::byte> header_block = flight.header_block.seal();
    encode_file_header(flight.file_header, header_block);
    if (auto written = flight.file->write_for_sync(0, header_block); !written) {
        return written;
    }
    const std::span<std::byte> state = flight.state.seal();
    encode_group(flight.state_header, state);
    if (auto written = flight.file->write_for_sync(block_bytes, state); !written) {
        return written;
    }
    return flight.file->sync();
}

Result<void> write_flight(Flight& flight) {
    if (flight.begins_file) {
        if (auto begun = write_beginning(flight); !begun) {
            return begun;
        }
    }
    const std::span<std::byte> group = flight.group.seal();
    encode_group(flight.header, group);
    const std::uint64_t offset = std::uint64_t{flight.header.block} * block_bytes;
    return flight.sync ? flight.file->write_for_sync(offset, group)
                       : flight.file->write(offset, group);
}

Result<void> sync_flight(Flight& flight) {
    if constexpr (planted(Fault::skip_sync)) {
        return {};
    }
    return flight.file->sync();
}

}  // namespace

CommitPipeline::Flight& CommitPipeline::flight() {
    MQD_ASSERT(!busy_);
    return *flight_;
}

void CommitPipeline::write() {
    MQD_ASSERT(!busy_ && !stopped_);
    MQD_ASSERT(flight_->file != nullptr);
    busy_ = true;
    post_write();
    if (flight_->sync) {
        post_sync(!planted(Fault::confirm_before_sync));
    }
}

void CommitPipeline::sync(const std::shared_ptr<File>& file) {
    MQD_ASSERT(!busy_ && !stopped_);
    busy_ = true;
    flight_->file = file;
    post_sync(true);
}

void CommitPipeline::stop() {
    stopped_ = true;
    busy_ = true;
}

// Both pieces of work are posted at once, so that the sync follows the write without a round
// through the loop. Each has an error of its own, as one may be told while the other is at work.
void CommitPipeline::post_write() {
    commit_.post(
        [flight = flight_] {
            if (auto written = write_flight(*flight); !written) {
                flight->write_error = written.error();
            }
        },
        [this, flight = flight_, alive = std::weak_ptr<bool>(alive_), sync = flight_->sync] {
            if (alive.expired() || stopped_) {
                return;
            }
            if (flight->write_error) {
                fail(*flight->write_error);
                return;
            }
            busy_ = sync;
            events_.written();
            if constexpr (planted(Fault::confirm_before_sync)) {
                if (sync) {
                    events_.synced();
                }
            }
        });
}

void CommitPipeline::post_sync(bool reports) {
    commit_.post(
        [flight = flight_] {
            if (flight->write_error) {
                return;
            }
            if (auto synced = sync_flight(*flight); !synced) {
                flight->sync_error = synced.error();
            }
        },
        [this, flight = flight_, alive = std::weak_ptr<bool>(alive_), reports] {
            if (alive.expired() || stopped_) {
                return;
            }
            if (flight->sync_error) {
                fail(*flight->sync_error);
                return;
            }
            busy_ = false;
            if (reports) {
                events_.synced();
            }
        });
}

void CommitPipeline::fail(const Error& error) {
    stop();
    events_.failed(error);
}

}  // namespace mqd::storage
