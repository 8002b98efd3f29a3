#pragma once

// Until when messages of one queue are delayed, by number and by time: 24 bytes for a run of
// messages with one due time, and 16 for its place in the order of time, in packed chunks. Of those
// that are delayed, or were when their end was decided, and of no others. Owned by the Engine.

#include <array>
#include <cstdint>
#include <optional>

#include "daemon/engine/packed_set.hpp"
#include "daemon/engine/time.hpp"
#include "mqd/types.hpp"

namespace mqd::engine {

// A delay runs on the journal clock; a time that was given as a wall-clock time follows the wall
// clock, whatever is done to it.
enum class DueClock : std::uint8_t { journal = 0, wall = 1 };
inline constexpr std::size_t due_clocks = 2;

struct Due {
    DueClock clock{};
    std::int64_t at = 0;  // nanoseconds of the journal clock, or microseconds since 1970

    [[nodiscard]] static Due on(Time time) {
        return {DueClock::journal, time.time_since_epoch().count()};
    }
    [[nodiscard]] static Due on(WallTime time) {
        return {DueClock::wall, time.time_since_epoch().count()};
    }
    friend bool operator==(const Due&, const Due&) = default;
};

// What time it is on both.
struct Clocks {
    Time journal;
    WallTime wall;
    [[nodiscard]] std::int64_t on(DueClock clock) const {
        return clock == DueClock::journal ? journal.time_since_epoch().count()
                                          : wall.time_since_epoch().count();
    }
};

class DelayTable {
  public:
    struct Run {
        MessageRange range;
        Due due;
    };

    [[nodiscard]] bool empty() const { return by_number_.empty(); }
    [[nodiscard]] std::size_t runs() const { return by_number_.size(); }
    [[nodiscard]] std::size_t memory_bytes() const;

    // Precondition: none of the range is in it.
    void insert(MessageRange range, Due due);
    // What of the range is in it is not any more.
    void erase(MessageRange range);
    // The first run that ends behind `number`; its range may begin before it. False: none.
    [[nodiscard]] bool find_from(MessageNumber number, Run& out) const;

    // The earliest time on that clock.
    [[nodiscard]] std::optional<std::int64_t> earliest(DueClock clock) const;
    // Takes out the run of the earliest time on that clock, if it has come. False: it has not.
    bool take_due(DueClock clock, std::int64_t now, MessageRange& out);

  private:
    struct Held {
        MessageNumber first;
        std::int64_t at = 0;
        std::uint32_t count = 0;
        DueClock clock{};

        [[nodiscard]] MessageNumber end() const { return first.plus(count); }
        [[nodiscard]] Due due() const { return {clock, at}; }
        friend bool operator<(const Held& a, const Held& b) { return a.first < b.first; }
    };
    struct Point {
        std::int64_t at = 0;
        MessageNumber first;
        friend bool operator<(const Point& a, const Point& b) {
            return a.at != b.at ? a.at < b.at : a.first < b.first;
        }
    };
    static_assert(sizeof(Held) == 24 && sizeof(Point) == 16);

    [[nodiscard]] PackedSet<Point>& times(DueClock clock) {
        return by_time_[static_cast<std::size_t>(clock)];
    }
    // The run that holds the number, or the next one.
    [[nodiscard]] PackedSet<Held>::Place place_of(MessageNumber number) const;
    void add(const Held& held);
    void remove(PackedSet<Held>::Place at);
    void erase_whole(MessageRange range);

    PackedSet<Held> by_number_;
    std::array<PackedSet<Point>, due_clocks> by_time_;
};

}  // namespace mqd::engine
