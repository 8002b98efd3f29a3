// Lines of one batch that became messages of several priorities: their numbers are no run, and are
// confirmed line by line.

#include <algorithm>

#include "daemon/core/core.hpp"
#include "mqd/wire/handle.hpp"

namespace mqd::core {

namespace {

// Of the runs in one CONFIRM.
constexpr std::size_t confirm_runs_bytes_max = 4096 * wire::Confirm::run_bytes;

}  // namespace

// The numbers of a batch that is in several parts, in the order of its lines.
void Core::number_lines(PendingLines& lines) const {
    std::array<MessageNumber, priority_max + 1> next;
    for (const BatchPart& part : batch_.parts) {
        next[part.priority] = part.block->first;
    }
    lines.pieces = std::make_unique<PendingPieces>();
    lines.pieces->runs = numbers_of_lines(next, batch_.split.lines());
}

// As many as go into this CONFIRM. Returns whether they were the last: else the next one begins
// with the line behind them.
bool Core::confirm_pieces(PendingLines& lines, wire::ConfirmedRun& run) {
    PendingPieces& pieces = *lines.pieces;
    while (pieces.told < pieces.runs.size() && runs_.size() < confirm_runs_bytes_max) {
        const wire::ConfirmedRun& piece = pieces.runs[pieces.told++];
        confirm_run(run, piece);
        lines.first = lines.first.plus(piece.count);
    }
    return pieces.told == pieces.runs.size();
}

}  // namespace mqd::core
