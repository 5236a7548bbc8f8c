#include "control/reads.h"

#include <algorithm>

namespace leat::control {

Reads::Part Reads::add() {
  if (free_.empty()) {
    facts_.emplace_back();
    return static_cast<Part>(facts_.size() - 1);
  }
  const Part part = free_.back();
  free_.pop_back();
  return part;
}

void Reads::note(Fact fact) {
  if (reader_ == kNobody) return;
  std::vector<Fact>& facts = facts_[reader_];
  // Twice in a row is common, twice at all is not.
  if (!facts.empty() && facts.back() == fact) return;
  facts.push_back(fact);
  readers_.emplace(fact, reader_);
}

void Reads::forget(Part part) {
  for (const Fact fact : facts_[part]) {
    const auto [first, last] = readers_.equal_range(fact);
    const auto found = std::find_if(first, last, [&](const auto& reader) { return reader.second == part; });
    if (found != last) readers_.erase(found);
  }
  facts_[part].clear();
}

void Reads::remove(Part part) {
  forget(part);
  free_.push_back(part);
}

}  // namespace leat::control
