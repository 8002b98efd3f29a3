#include "daemon/config/nearest_name.hpp"

#include <algorithm>
#include <vector>

namespace mqd {
namespace {

// Longer words are not compared: nobody mistypes them, and the cost is the product of the lengths.
constexpr std::size_t word_bytes_max = 64;

std::size_t distance(std::string_view a, std::string_view b) {
    // Three rows of the usual table: two above, the one above, and the one being filled.
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> above(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) {
        above[j] = j;
    }
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
        before.swap(above);
        above.swap(row);
    }
    return above[b.size()];
}

}  // namespace

std::string_view nearest_name(std::string_view word, std::span<const std::string_view> names) {
    if (word.size() > word_bytes_max) {
        return {};
    }
    std::string_view nearest;
    std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
    for (const std::string_view name : names) {
        const std::size_t d = name.size() > word_bytes_max ? least : distance(word, name);
        if (d < least && d < name.size()) {  // something of it is left
            least = d;
            nearest = name;
        }
    }
    return nearest;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> names) {
    return did_you_mean(word, std::vector<std::string_view>(names.begin(), names.end()));
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> names) {
    const std::string_view nearest = nearest_name(word, names);
    return nearest.empty() ? std::string() : " (did you mean \"" + std::string(nearest) + "\"?)";
}

}  // namespace mqd
