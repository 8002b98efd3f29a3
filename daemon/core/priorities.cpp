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

// The numbers of a batch that is in several parts, or was taken in part, in the order of its lines.
void Core::number_lines(PendingLines& lines) const {
    lines.pieces = std::make_unique<PendingPieces>();
    lines.pieces->runs = batch_.numbers();
    if (!batch_.dedup.known.empty()) {
        const auto nobody = [](engine::ExpectedNumber) { return MessageNumber(0); };
        lines.pieces->runs = runs_of(numbers_of_all(batch_.dedup, lines.pieces->runs, nobody));
    }
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
