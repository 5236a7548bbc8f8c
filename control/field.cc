#include "control/field.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace leat::control {

std::string Field::path_below(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

Field Field::operator[](std::string_view name) const {
  const Value* below = is_map() ? value_->find(name) : nullptr;
  if (present() && !is_map()) error("must be a mapping of fields");
  return Field(below, path_below(name), below == nullptr ? line_ : line_in(below->line, line_, *sink_), *sink_);
}

std::vector<Field> Field::items() const {
  std::vector<Field> fields;
  if (!present()) return fields;
  if (!is_list()) {
    error("must be a list");
    return fields;
  }
  for (const Value& item : value_->items) {
    fields.push_back(
        Field(&item, fmt::format("{}[{}]", path_, fields.size()), line_in(item.line, line_, *sink_), *sink_));
  }
  return fields;
}

std::vector<std::pair<std::string, Field>> Field::entries() const {
  std::vector<std::pair<std::string, Field>> fields;
  if (!present()) return fields;
  if (!is_map()) {
    error("must be a mapping");
    return fields;
  }
  for (const Entry& entry : value_->entries) {
    fields.emplace_back(entry.key,
                        Field(&entry.value, path_below(entry.key), line_in(entry.line, line_, *sink_), *sink_));
  }
  return fields;
}

std::optional<std::string> Field::text() const {
  if (!present()) return std::nullopt;
  if (is(Value::Kind::kScalar)) return value_->text;
  error("must be a text");
  return std::nullopt;
}

std::optional<bool> Field::boolean() const {
  if (!present()) return std::nullopt;
  if (is(Value::Kind::kScalar) && value_->text == "true") return true;
  if (is(Value::Kind::kScalar) && value_->text == "false") return false;
  error("must be true or false");
  return std::nullopt;
}

std::optional<uint16_t> Field::port() const {
  const auto value = text();
  if (!value) return std::nullopt;
  const auto number = parse_port(*value);
  if (!number) error(fmt::format("must be a port, 1 to 65535, not '{}'", *value));
  return number;
}

std::optional<uint32_t> Field::number(uint32_t least, uint32_t most) const {
  const auto value = text();
  if (!value) return std::nullopt;
  uint32_t number = 0;
  const auto [end, status] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (status == std::errc{} && end == value->data() + value->size() && number >= least && number <= most) return number;
  error(fmt::format("must be a whole number, {} to {}, not '{}'; ignored", least, most, *value));
  return std::nullopt;
}

std::optional<IpAddress> Field::address() const {
  const auto value = text();
  if (!value) return std::nullopt;
  const auto parsed = IpAddress::parse(*value);
  if (!parsed) error(fmt::format("must be an IP address, not '{}'", *value));
  return parsed;
}

std::optional<uint64_t> Field::duration_ms() const {
  const auto value = text();
  if (!value) return std::nullopt;
  const auto parsed = parse_duration_ms(*value);
  if (!parsed) error(fmt::format("must be a duration like 5s, 500ms or 1h30m, not '{}'", *value));
  return parsed;
}

std::optional<std::string> Field::name() const {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789-._";
  constexpr size_t kMaxLength = 253;
  auto value = text();
  if (!value ||
      (value->find_first_not_of(kAllowed) == std::string::npos && !value->empty() && value->size() <= kMaxLength))
    return value;
  fatal(fmt::format("must be a name of lower-case letters, digits, '-' and '.', not '{}'; the object is left out",
                    *value));
  return std::nullopt;
}

Labels Field::labels() const {
  Labels all;
  for (const auto& [key, value] : entries()) {
    if (auto some = value.text()) all.emplace(key, std::move(*some));
  }
  return all;
}

void Field::fatal(std::string message) const {
  sink_->usable = false;
  error(std::move(message));
}

void Field::report(Severity severity, std::string message) const {
  sink_->findings.push_back(make_finding(severity, {sink_->file, line_}, sink_->object, path_, std::move(message)));
}

std::optional<uint64_t> parse_duration_ms(std::string_view text) {
  struct Unit {
    std::string_view name;
    uint64_t ms;
  };
  static constexpr Unit kUnits[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
  constexpr uint64_t kYearMs = 365ull * 24 * 3'600'000;
  if (text.empty()) return std::nullopt;
  uint64_t total = 0;
  while (!text.empty()) {
    uint64_t count = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (status != std::errc{} || count > kYearMs) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    const size_t unit_length = std::min(text.find_first_of("0123456789"), text.size());
    const auto unit = std::ranges::find(kUnits, text.substr(0, unit_length), &Unit::name);
    if (unit == std::end(kUnits)) return std::nullopt;
    total += count * unit->ms;
    if (total > kYearMs) return std::nullopt;
    text.remove_prefix(unit_length);
  }
  return total;
}

std::optional<uint16_t> parse_port(std::string_view text) {
  uint32_t number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (status != std::errc{} || end != text.data() + text.size() || number == 0 || number > 65535) return std::nullopt;
  return static_cast<uint16_t>(number);
}

}  // namespace leat::control
