// Tables as kubectl prints them: a header in capitals, columns as wide as their widest cell and three spaces apart,
// nothing drawn.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace leat::cli {

enum class Colour : uint8_t { kNone, kGreen, kYellow, kRed, kFaint };

struct Cell {
  Cell(std::string words, Colour paint = Colour::kNone)
      : text(std::move(words)), colour(paint) {}  // NOLINT: a text is a cell
  Cell(std::string_view words) : text(words) {}   // NOLINT
  Cell(const char* words) : text(words) {}        // NOLINT
  std::string text;
  Colour colour = Colour::kNone;
};

struct Row {
  std::vector<Cell> cells;
  std::string note;  // a line of its own below, indented: what to do about it
};

class Table {
 public:
  // An empty header is not printed.
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  void add(Row row) { rows_.push_back(std::move(row)); }
  // Every row begins with `cell`, under `header` where there are headers.
  void put_before(const std::string& header, const std::string& cell);
  // The rows of a table of the same columns.
  void append(Table other);
  [[nodiscard]] bool empty() const { return rows_.empty(); }

  // The whole text. `coloured`: with terminal colours; every fact is in the words too. Control characters, which a peer
  // might have put into a name, are shown as '?'.
  [[nodiscard]] std::string render(bool coloured) const;
  // The rows only, at least as wide as `widths`, which grow: what a table that goes on prints next.
  [[nodiscard]] std::string render_rows(bool coloured, std::vector<size_t>& widths) const;
  [[nodiscard]] std::string render_header(std::vector<size_t>& widths) const;

 private:
  void widen(std::vector<size_t>& widths) const;

  std::vector<std::string> header_;
  std::vector<Row> rows_;
};

}  // namespace leat::cli
