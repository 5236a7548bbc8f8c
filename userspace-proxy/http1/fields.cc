#include "userspace-proxy/http1/fields.h"

#include "userspace-proxy/http1/limits.h"

namespace leat::http1 {

static_assert(limits::kHeadBytes <= UINT16_MAX && limits::kFields <= UINT8_MAX && limits::kNameBytes <= UINT8_MAX,
              "positions must fit their types");
static_assert(kNames <= 32, "a bit each name");

const Field* Fields::find(std::string_view wanted) const {
  for (const Field& field : list_) {
    if (equal_ignoring_case(name(field), wanted)) return &field;
  }
  return nullptr;
}

void Fields::append(const Field& field) {
  list_.push_back(field);
  uint8_t& first = first_[static_cast<size_t>(field.id)];
  if (first == 0) {
    first = static_cast<uint8_t>(list_.size());
  } else {
    repeated_ |= uint32_t{1} << static_cast<unsigned>(field.id);
  }
}

void Fields::clear() {
  if (bytes_.capacity() > limits::kKeptBytes) bytes_ = std::string();
  bytes_.clear();
  list_.clear();
  first_.fill(0);
  repeated_ = 0;
}

}  // namespace leat::http1
