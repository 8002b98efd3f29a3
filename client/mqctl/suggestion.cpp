#include "client/mqctl/suggestion.hpp"

#include <algorithm>
#include <vector>

namespace mqd::mqctl {

std::size_t edit_distance(std::string_view from, std::string_view to) {
    // Three rows of the table of optimal string alignment: row i has the distances of from[0, i).
    const std::size_t width = to.size() + 1;
    std::vector<std::size_t> before(width);
    std::vector<std::size_t> last(width);
    std::vector<std::size_t> row(width);
    for (std::size_t j = 0; j < width; ++j) {
        last[j] = j;
    }
    for (std::size_t i = 1; i <= from.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j < width; ++j) {
            const std::size_t replaced = last[j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1);
            row[j] = std::min({replaced, last[j] + 1, row[j - 1] + 1});
            if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1]) {
                row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
        before.swap(last);
        last.swap(row);
    }
    return last[to.size()];
}

std::string_view nearest_name(std::string_view name, std::span<const std::string> candidates) {
    // A third of a name may be wrong; one character of a short one.
    std::size_t best = std::max<std::size_t>(name.size() / 3, 1) + 1;
    std::string_view nearest;
    for (const std::string& candidate : candidates) {
        const std::size_t distance = edit_distance(name, candidate);
        if (distance < best && distance < candidate.size()) {
            best = distance;
            nearest = candidate;
        }
    }
    return nearest;
}

std::string did_you_mean(std::string_view name, std::span<const std::string> candidates) {
    const std::string_view nearest = nearest_name(name, candidates);
    return nearest.empty() ? "" : " (did you mean \"" + std::string(nearest) + "\"?)";
}

}  // namespace mqd::mqctl
