// Where a reader of closed flows stands. Each proxy, and the kernel, numbers its closed flows by itself; a cursor is
// one number for all of these, which `leat flows -f` gives back to be told what is new.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace leat::agent {

class FlowCursors {
 public:
  struct Position {
    std::map<std::string, uint64_t> proxies;  // by instance
    uint64_t kernel = 0;

    [[nodiscard]] uint64_t of(const std::string& instance) const {
      const auto found = proxies.find(instance);
      return found == proxies.end() ? 0 : found->second;
    }
  };

  // `first` must not have been a cursor of this agent's former life: the time does.
  explicit FlowCursors(uint64_t first) : next_(first) {}

  // The beginning for 0, and for a cursor that was forgotten.
  [[nodiscard]] Position find(uint64_t cursor) const {
    const auto found = positions_.find(cursor);
    return found == positions_.end() ? Position{} : found->second;
  }

  uint64_t remember(Position position) {
    positions_.emplace(next_, std::move(position));
    if (positions_.size() > kRemembered) positions_.erase(positions_.begin());
    return next_++;
  }

 private:
  static constexpr size_t kRemembered = 1024;  // readers at a time, with a poll in flight each
  uint64_t next_;
  std::map<uint64_t, Position> positions_;
};

}  // namespace leat::agent
