// The fields of one head or trailer section: where their names and values lie in one contiguous copy of the bytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "userspace-proxy/http1/name.h"

namespace leat::http1 {

struct Span {
  uint16_t offset = 0;
  uint16_t size = 0;
};

struct Field {
  Span value;  // blanks around it are outside
  uint16_t name_offset = 0;
  uint8_t name_size = 0;
  Name id = Name::kOther;
  bool hop = false;  // ends at this hop: the writer drops it
};

class Fields {
 public:
  [[nodiscard]] std::span<const Field> all() const { return list_; }
  [[nodiscard]] std::string_view name(const Field& field) const { return text({field.name_offset, field.name_size}); }
  [[nodiscard]] std::string_view value(const Field& field) const { return text(field.value); }

  // The first field of that name, in any case; null if there is none. Known names are found without a search.
  [[nodiscard]] const Field* find(Name known) const {
    const uint8_t position = first_[static_cast<size_t>(known)];
    return position == 0 ? nullptr : &list_[position - 1];
  }
  [[nodiscard]] const Field* find(std::string_view name) const;
  [[nodiscard]] std::optional<std::string_view> get(std::string_view name) const {
    const Field* field = find(name);
    return field ? std::optional(value(*field)) : std::nullopt;
  }
  [[nodiscard]] bool has(Name known) const { return first_[static_cast<size_t>(known)] != 0; }
  [[nodiscard]] bool repeated(Name known) const { return repeated_ >> static_cast<unsigned>(known) & 1; }
  [[nodiscard]] bool empty() const { return list_.empty(); }
  [[nodiscard]] std::string_view text(Span span) const { return {bytes_.data() + span.offset, span.size}; }
  [[nodiscard]] std::string_view bytes() const { return bytes_; }  // as they were on the wire, the start line too

 private:
  friend class HeadParser;
  friend class HeadBuilder;
  friend struct Rules;
  void append(const Field& field);
  void clear();

  std::string bytes_;
  std::vector<Field> list_;
  std::array<uint8_t, kNames> first_{};  // position in list_ + 1; 0: none
  uint32_t repeated_ = 0;                // a bit each Name
};

}  // namespace leat::http1
