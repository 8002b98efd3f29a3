#include "client/mqctl/table.hpp"

#include <algorithm>

#include "mqd/assert.hpp"

namespace mqd::mqctl {

void Table::add(std::vector<std::string> row) {
    MQD_ASSERT(row.size() == columns_.size(), row.size());
    rows_.push_back(std::move(row));
}

std::string Table::text(bool with_header) const {
    std::vector<std::vector<std::string>> rows;
    if (with_header) {
        std::vector<std::string>& header = rows.emplace_back();
        for (const Column& column : columns_) {
            header.push_back(column.name);
        }
    }
    rows.insert(rows.end(), rows_.begin(), rows_.end());
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            std::size_t width = 0;
            for (const auto& other : rows) {
                width = std::max(width, other[i].size());
            }
            const std::string filling(width - row[i].size(), ' ');
            line += i > 0 ? "  " : "";
            line += columns_[i].align == Align::right ? filling + row[i] : row[i] + filling;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + '\n';
    }
    return text;
}

}  // namespace mqd::mqctl
