#pragma once

// Rows in aligned columns for people; a header row only on a terminal, so that a pipe sees data
// alone.

#include <string>
#include <vector>

namespace mqd::mqctl {

class Table {
  public:
    enum class Align { left, right };
    struct Column {
        std::string name;
        Align align = Align::left;
    };

    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

    // Precondition: as many cells as columns.
    void add(std::vector<std::string> row);
    // Columns two blanks apart, each row with its newline.
    [[nodiscard]] std::string text(bool with_header) const;

  private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace mqd::mqctl
