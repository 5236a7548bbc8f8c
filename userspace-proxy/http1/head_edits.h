// What is to change in a head on its way, put together by those who have a say in it (routes, traces) before the head
// is written. Costs nothing while it is empty.
#pragma once

#include <forward_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "userspace-proxy/http1/writer.h"

namespace leat::http1 {

// Names and values must be valid (is_token(), is_field_value()) and live until the head is written; keep() has them do.
class HeadEdits {
 public:
  void set(std::string_view name, std::string_view value) { set_.push_back({name, value}); }
  void add(std::string_view name, std::string_view value) { add_.push_back({name, value}); }
  void remove(std::string_view name) { remove_.push_back(name); }
  // Requests only: the path and query to send.
  void set_target(std::string_view target) { target_ = target; }

  std::string_view keep(std::string text) { return kept_.emplace_front(std::move(text)); }

  [[nodiscard]] std::string_view target() const { return target_; }
  [[nodiscard]] Edits fields() const { return {.remove = remove_, .set = set_, .add = add_}; }

 private:
  std::vector<std::string_view> remove_;
  std::vector<FieldLine> set_, add_;
  std::string_view target_;
  std::forward_list<std::string> kept_;
};

}  // namespace leat::http1
