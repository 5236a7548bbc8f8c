// The aliases of the compiled mesh, by id: those that its pods and Services hold, and those that only decode, because a
// connection may have begun with them. Follows the book by what turned in it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "control/alias_book.h"
#include "control/compile.h"
#include "control/findings.h"

namespace leat::control {

class AliasTable {
 public:
  enum class Use : uint8_t { kDecodes, kWorkload, kService, kRemoteOnly };
  struct Row {
    IpAddress address;
    Use use = Use::kDecodes;
    uint32_t pod_index = PodSlots::kNone;
    size_t target = 0;     // a hash of its name: another target is another row
    uint32_t holders = 0;  // in the mesh; more than one only until what gave it up is compiled anew
    bool operator==(const Row& other) const {
      return address == other.address && use == other.use && pod_index == other.pod_index && target == other.target;
    }
    [[nodiscard]] AliasKey key() const { return {address, use == Use::kRemoteOnly}; }
    [[nodiscard]] bool destination() const { return use == Use::kWorkload || use == Use::kService; }
  };

  explicit AliasTable(AliasBook& book) : book_(book) {}

  // What holds an alias lets go of it, and holds it again, when it is compiled anew. The book hears of it in settle():
  // an alias that is needed before and after is never retired between.
  void release(const AliasKey& key);
  void release_all();
  // The id, where the book has one left; else a finding on what is at `source`. `target`: the pod's uid, or the
  // Service's name.
  std::optional<uint32_t> hold(const AliasKey& key, Use use, uint32_t pod_index, std::string_view target,
                               const Source& source, Findings& findings);
  // Whether the book had no id left since the last call.
  bool take_exhausted() { return std::exchange(exhausted_, false); }
  // `everything`: nothing is believed of what the table says of aliases that nobody holds.
  void settle(bool everything);

  // Whether `target` holds the key.
  [[nodiscard]] bool holds(const AliasKey& key, std::string_view target) const;
  [[nodiscard]] const std::map<uint32_t, Row>& rows() const { return rows_; }
  // Ids whose rows came, went or changed since the last call, with what was there before; the first one sees nothing.
  std::map<uint32_t, std::optional<Row>> take_changes();

 private:
  void set(uint32_t id, const Row& row);
  void erase(uint32_t id);
  void remember(uint32_t id);

  AliasBook& book_;
  std::map<uint32_t, Row> rows_;
  std::vector<std::pair<uint32_t, AliasKey>> released_;  // since the last settle()
  bool exhausted_ = false;
  bool remembers_ = false;
  std::map<uint32_t, std::optional<Row>> before_;
};

}  // namespace leat::control
