#include "control/objects.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

namespace leat::control {

bool is_older(const Meta& left, const Meta& right) {
  const auto rank = [](const Meta& meta) {
    return std::make_tuple(meta.created.empty(), std::string_view(meta.created), std::cref(meta.name));
  };
  return rank(left) < rank(right);
}

bool selects(const Labels& wanted, const Labels& labels) {
  return std::ranges::all_of(wanted, [&](const auto& label) {
    const auto found = labels.find(label.first);
    return found != labels.end() && found->second == label.second;
  });
}

bool selects(const LabelSelector& wanted, const Labels& labels) {
  using Operator = LabelExpression::Operator;
  return selects(wanted.labels, labels) && std::ranges::all_of(wanted.expressions, [&](const LabelExpression& one) {
           const auto label = labels.find(one.key);
           const bool present = label != labels.end();
           if (one.op == Operator::kExists) return present;
           if (one.op == Operator::kDoesNotExist) return !present;
           const bool listed = present && std::ranges::find(one.values, label->second) != one.values.end();
           return listed == (one.op == Operator::kIn);
         });
}

std::string describe(std::string_view kind, const Name& name) { return fmt::format("{} {}", kind, name.text()); }

ObjectPtr share(Object object) {
  return std::visit(
      []<typename Kind>(Kind&& some) {
        return ObjectPtr(std::make_shared<const std::remove_cvref_t<Kind>>(std::forward<Kind>(some)));
      },
      std::move(object));
}

void ObjectSet::put(Object object) { put(control::share(std::move(object))); }

void ObjectSet::put(ObjectPtr object) {
  note(key_of(object));
  std::visit(
      [this]<typename Kind>(std::shared_ptr<const Kind>&& some) {
        std::get<KindMap<Kind>>(kinds_).insert_or_assign(some->meta.name, std::move(some));
      },
      std::move(object));
}

void ObjectSet::remove(const ObjectKey& key) {
  const size_t removed =
      std::apply([&key]<typename... Kind>(
                     KindMap<Kind>&... kinds) { return ((Kind::kKind == key.kind ? kinds.erase(key.name) : 0) + ...); },
                 kinds_);
  if (removed > 0) note(key);
}

void ObjectSet::note(ObjectKey key) {
  ++version_;
  changes_.push_back(std::move(key));
  if (changes_.size() > kRememberedChanges) changes_.pop_front();
}

std::optional<std::vector<ObjectKey>> ObjectSet::changed_since(uint64_t version) const {
  const uint64_t count = version_ - version;
  if (version > version_ || count > changes_.size()) return std::nullopt;
  std::vector<ObjectKey> keys(changes_.end() - static_cast<std::ptrdiff_t>(count), changes_.end());
  std::ranges::sort(keys);
  const auto repeated = std::ranges::unique(keys);
  keys.erase(repeated.begin(), repeated.end());
  return keys;
}

size_t ObjectSet::size() const {
  return std::apply([](const auto&... kinds) { return (kinds.size() + ...); }, kinds_);
}

}  // namespace leat::control
