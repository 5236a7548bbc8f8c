#include "control/alias_table.h"

#include <functional>

#include "common/check.h"

namespace leat::control {

void AliasTable::release(const AliasKey& key) {
  const auto id = book_.find(key);
  const auto row = id ? rows_.find(*id) : rows_.end();
  LEAT_CHECK(row != rows_.end() && row->second.holders > 0, "an alias is let go once for each hold");
  remember(*id);
  --row->second.holders;
  released_.emplace_back(*id, key);
}

void AliasTable::release_all() {
  for (auto& [id, row] : rows_) {
    for (; row.holders > 0; --row.holders) {
      remember(id);
      released_.emplace_back(id, row.key());
    }
  }
}

std::optional<uint32_t> AliasTable::hold(const AliasKey& key, Use use, uint32_t pod_index, std::string_view target,
                                         const Source& source, Findings& findings) {
  const Result<uint32_t> id = book_.hold(key);
  if (!id) {
    findings.push_back(make_finding(Severity::kError, source, "", "", id.error().message));
    exhausted_ = true;
    return std::nullopt;
  }
  const auto row = rows_.find(*id);
  set(*id, {.address = key.address,
            .use = use,
            .pod_index = pod_index,
            .target = std::hash<std::string_view>()(target),
            .holders = (row == rows_.end() ? 0 : row->second.holders) + 1});
  return *id;
}

void AliasTable::settle(bool everything) {
  std::map<uint32_t, AliasKey> turned;
  for (const auto& [id, key] : std::exchange(released_, {})) {
    book_.release(key);
    turned.insert_or_assign(id, key);
  }
  for (const auto& [id, key] : book_.take_turned()) turned.insert_or_assign(id, key);
  if (everything) {
    for (const auto& [id, key] : book_.retired()) turned.insert_or_assign(id, key);
    for (const auto& [id, row] : rows_) turned.emplace(id, row.key());
  }
  for (const auto& [id, key] : turned) {
    const auto row = rows_.find(id);
    if (row != rows_.end() && row->second.holders > 0) continue;
    if (book_.is_retired(key) && book_.find(key) == id) {
      set(id, {.address = key.address});
    } else {
      erase(id);
    }
  }
}

bool AliasTable::holds(const AliasKey& key, std::string_view target) const {
  const auto id = book_.find(key);
  const auto row = id ? rows_.find(*id) : rows_.end();
  return row != rows_.end() && row->second.holders > 0 && row->second.key() == key &&
         row->second.target == std::hash<std::string_view>()(target);
}

std::map<uint32_t, std::optional<AliasTable::Row>> AliasTable::take_changes() {
  remembers_ = true;
  std::map<uint32_t, std::optional<Row>> changes = std::exchange(before_, {});
  std::erase_if(changes, [&](const auto& change) {
    const auto row = rows_.find(change.first);
    return row == rows_.end() ? !change.second.has_value() : change.second == row->second;
  });
  return changes;
}

void AliasTable::set(uint32_t id, const Row& row) {
  remember(id);
  rows_.insert_or_assign(id, row);
}

void AliasTable::erase(uint32_t id) {
  remember(id);
  rows_.erase(id);
}

void AliasTable::remember(uint32_t id) {
  if (!remembers_ || before_.contains(id)) return;
  const auto row = rows_.find(id);
  before_.emplace(id, row == rows_.end() ? std::nullopt : std::optional(row->second));
}

}  // namespace leat::control
