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

void ObjectSet::put(Object object) {
  std::visit(
      [this]<typename Kind>(Kind&& some) {
        Name name = some.meta.name;
        std::get<std::map<Name, std::remove_cvref_t<Kind>>>(kinds_).insert_or_assign(std::move(name),
                                                                                     std::forward<Kind>(some));
      },
      std::move(object));
}

void ObjectSet::remove(const ObjectKey& key) {
  std::apply([&key]<typename... Kind>(
                 std::map<Name, Kind>&... kinds) { ((Kind::kKind == key.kind ? kinds.erase(key.name) : 0), ...); },
             kinds_);
}

size_t ObjectSet::size() const {
  return std::apply([](const auto&... kinds) { return (kinds.size() + ...); }, kinds_);
}

}  // namespace leat::control
