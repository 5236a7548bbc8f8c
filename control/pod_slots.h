// Which local pod has which index in the capture maps (0 … 1023). An index stays the pod's for its life, agent restarts
// included, and rests as long as possible before another pod gets it: a late event of a dead pod must not be read as a
// living one's.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "common/result.h"

namespace leat::control {

class PodSlots {
 public:
  static constexpr uint32_t kSlots = 1024;
  static constexpr uint32_t kNone = 0xffffffff;

  // The pod's index, new or known; nothing when all are taken.
  std::optional<uint32_t> hold(const std::string& uid);
  // Frees the index of every pod that is not in `uids`.
  void keep_only(const std::set<std::string>& uids);

  [[nodiscard]] uint64_t version() const { return version_; }  // as AliasBook::version
  [[nodiscard]] std::string save() const;
  static Result<PodSlots> load(std::string_view text);

 private:
  std::map<std::string, uint32_t> index_by_uid_;
  std::array<bool, kSlots> taken_{};
  uint32_t next_ = 0;
  uint64_t version_ = 0;
};

}  // namespace leat::control
