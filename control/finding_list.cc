#include "control/finding_list.h"

#include <utility>

namespace leat::control {
namespace {

bool same(const v1::Finding& left, const v1::Finding& right) {
  return left.line() == right.line() && left.message() == right.message() && left.field() == right.field() &&
         left.object() == right.object() && left.file() == right.file() && left.severity() == right.severity();
}

}  // namespace

void FindingList::put(std::string part, Findings findings) {
  const auto known = by_part_.find(part);
  if (known == by_part_.end() ? findings.empty() : std::ranges::equal(known->second, findings, same)) return;
  stale_ = changed_ = true;
  if (findings.empty()) {
    by_part_.erase(known);
  } else if (known != by_part_.end()) {
    known->second = std::move(findings);
  } else {
    by_part_.emplace(std::move(part), std::move(findings));
  }
}

void FindingList::remove_prefix(std::string_view prefix) {
  for (auto part = by_part_.lower_bound(prefix); part != by_part_.end() && part->first.starts_with(prefix);) {
    part = by_part_.erase(part);
    stale_ = changed_ = true;
  }
}

const Findings& FindingList::sorted() const {
  if (!std::exchange(stale_, false)) return sorted_;
  sorted_.clear();
  for (const auto& [part, findings] : by_part_) sorted_.insert(sorted_.end(), findings.begin(), findings.end());
  sort_findings(sorted_);
  return sorted_;
}

bool FindingList::take_changed() { return std::exchange(changed_, false); }

}  // namespace leat::control
