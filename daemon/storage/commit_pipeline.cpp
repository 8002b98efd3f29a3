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
    return flight.reach == Reach::written ? flight.file->write(offset, group)
                                          : flight.file->write_for_sync(offset, group);
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
    if (flight_->reach != Reach::written) {
        post_sync();
    }
}

void CommitPipeline::sync(const std::shared_ptr<File>& file) {
    MQD_ASSERT(!busy_ && !stopped_);
    busy_ = true;
    flight_->file = file;
    post_sync();
}

void CommitPipeline::stop() {
    stopped_ = true;
    busy_ = true;
}

// Both pieces of work are posted at once, so that the sync follows the write without a round
// through the loop. Each has an error of its own, as one may be told while the other is at work;
// and a simulated crash can fall between them.
void CommitPipeline::post_write() {
    const bool apart = flight_->reach != Reach::durable || planted(Fault::confirm_before_sync);
    std::function<void()> done;
    if (apart) {
        done = [this, alive = std::weak_ptr<bool>(alive_)] {
            if (!alive.expired() && !stopped_) {
                write_ended();
            }
        };
    } else {
        tells_written_ = true;
    }
    commit_.post(
        [flight = flight_] {
            if (auto written = write_flight(*flight); !written) {
                flight->write_error = written.error();
            }
        },
        std::move(done));
}

void CommitPipeline::post_sync() {
    commit_.post(
        [flight = flight_] {
            if (flight->write_error) {
                return;
            }
            if (auto synced = sync_flight(*flight); !synced) {
                flight->sync_error = synced.error();
            }
        },
        [this, alive = std::weak_ptr<bool>(alive_)] {
            if (!alive.expired() && !stopped_) {
                sync_ended();
            }
        });
}

void CommitPipeline::write_ended() {
    if (flight_->write_error) {
        return fail(*flight_->write_error);
    }
    busy_ = flight_->reach != Reach::written;
    events_.written();
    if constexpr (planted(Fault::confirm_before_sync)) {
        if (busy_) {
            told_synced_ = true;
            events_.synced();
        }
    }
}

void CommitPipeline::sync_ended() {
    if (flight_->write_error) {
        return fail(*flight_->write_error);
    }
    if (std::exchange(tells_written_, false)) {
        events_.written();
    }
    if (flight_->sync_error) {
        return fail(*flight_->sync_error);
    }
    busy_ = false;
    if (!std::exchange(told_synced_, false)) {
        events_.synced();
    }
}

void CommitPipeline::fail(const Error& error) {
    stop();
    events_.failed(error);
}

}  // namespace mqd::storage
