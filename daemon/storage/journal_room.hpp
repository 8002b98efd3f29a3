#pragma once

// How much the journal may promise: the arithmetic of bookings, spare files and carrying, proved in
// docs/storage.md, "Room". Pure; `Journal` asks, `journal_room_test` holds it to the proof.

#include <cstdint>

namespace mqd::storage {

struct JournalRoom {
    std::uint64_t file_bytes = 0;    // of a new file
    std::uint64_t bytes_max = 0;     // of all files
    std::uint64_t bytes = 0;         // of the files that exist
    std::uint64_t spare_files = 0;   // of them, that could be begun
    std::uint64_t current_left = 0;  // bytes left in the file being written

    [[nodiscard]] std::uint64_t files() const { return bytes / file_bytes; }
    [[nodiscard]] bool may_grow() const { return bytes + file_bytes <= bytes_max; }

    // When no more files can be made, so many are kept to carry into while the oldest one is
    // emptied.
    [[nodiscard]] std::uint64_t kept_files() const { return kept_of(files()); }

    // The most that may be booked: half of the files that are neither being written nor kept, so
    // that on the average half of what is carried was dead.
    [[nodiscard]] std::uint64_t booked_max() const { return booked_max_of(files()); }
    [[nodiscard]] std::uint64_t booked_max_after_shrinking() const {
        return booked_max_of(files() - 1);
    }

    // The oldest file has to be emptied now, if no more files can be made.
    [[nodiscard]] bool is_short() const { return spare_files <= kept_files(); }
    // And what is left is for acks and carrying only.
    [[nodiscard]] bool is_reserve() const {
        return spare_files * file_bytes + current_left < kept_files() * file_bytes + file_bytes / 2;
    }

    [[nodiscard]] std::uint64_t booked_max_when_grown() const {
        return booked_max_of(bytes_max / file_bytes);
    }

  private:
    [[nodiscard]] static std::uint64_t kept_of(std::uint64_t files) {
        return files <= 2 ? 0 : (files + 5) / 6;
    }
    [[nodiscard]] std::uint64_t booked_max_of(std::uint64_t files) const {
        const std::uint64_t held_back = 1 + kept_of(files);
        return files <= held_back ? 0 : (files - held_back) * file_bytes / 2;
    }
};

}  // namespace mqd::storage
