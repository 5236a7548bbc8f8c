#include "cli/table.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace leat::cli {
namespace {

constexpr std::string_view kGap = "   ";
constexpr std::string_view kPlain = "\x1b[0m";

std::string_view escape_of(Colour colour) {
  switch (colour) {
    case Colour::kNone:
      return "";
    case Colour::kGreen:
      return "\x1b[32m";
    case Colour::kYellow:
      return "\x1b[33m";
    case Colour::kRed:
      return "\x1b[31m";
    case Colour::kFaint:
      return "\x1b[2m";
  }
  return "";
}

std::string printable(std::string_view text) {
  std::string clean(text);
  std::ranges::replace_if(clean, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return clean;
}

// Characters, not bytes: what we print ourselves has an arrow in it.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](unsigned char c) { return (c & 0xc0) != 0x80; }));
}

void append_line(std::string& out, const std::vector<Cell>& cells, const std::vector<size_t>& widths, bool coloured) {
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string text = printable(cells[i].text);
    const std::string_view escape = coloured ? escape_of(cells[i].colour) : "";
    out += fmt::format("{}{}{}", escape, text, escape.empty() ? "" : kPlain);
    if (i + 1 < cells.size()) out += std::string(widths[i] - width_of(text), ' ') + std::string(kGap);
  }
  out.erase(out.find_last_not_of(' ') + 1);
  out += '\n';
}

}  // namespace

void Table::widen(std::vector<size_t>& widths) const {
  widths.resize(std::max(widths.size(), header_.size()), 0);
  for (size_t i = 0; i < header_.size(); ++i) widths[i] = std::max(widths[i], width_of(header_[i]));
  for (const Row& row : rows_) {
    widths.resize(std::max(widths.size(), row.cells.size()), 0);
    for (size_t i = 0; i < row.cells.size(); ++i) widths[i] = std::max(widths[i], width_of(row.cells[i].text));
  }
}

std::string Table::render_header(std::vector<size_t>& widths) const {
  widen(widths);
  std::string out;
  if (!header_.empty()) append_line(out, {header_.begin(), header_.end()}, widths, false);
  return out;
}

std::string Table::render_rows(bool coloured, std::vector<size_t>& widths) const {
  widen(widths);
  std::string out;
  for (const Row& row : rows_) {
    append_line(out, row.cells, widths, coloured);
    if (!row.note.empty()) out += fmt::format("   {}\n", printable(row.note));
  }
  return out;
}

void Table::put_before(const std::string& header, const std::string& cell) {
  if (!header_.empty()) header_.insert(header_.begin(), header);
  for (Row& row : rows_) row.cells.insert(row.cells.begin(), Cell(cell));
}

void Table::append(Table other) {
  if (header_.empty()) header_ = std::move(other.header_);
  rows_.insert(rows_.end(), std::make_move_iterator(other.rows_.begin()), std::make_move_iterator(other.rows_.end()));
}

std::string Table::render(bool coloured) const {
  std::vector<size_t> widths;
  std::string out = render_header(widths);
  return out + render_rows(coloured, widths);
}

}  // namespace leat::cli
