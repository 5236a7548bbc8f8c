#include "agent/sources/kubernetes/route_status.h"

#include <algorithm>
#include <ranges>
#include <utility>

#include <fmt/format.h>

namespace leat::sources {
namespace {

using nlohmann::json;

using Conditions = std::vector<std::pair<std::string, Condition>>;

Conditions wanted_conditions(const v1::RouteStatus& status, int64_t generation, const StatusParent* before,
                             const std::string& now) {
  Conditions wanted;
  for (const v1::Condition& one : status.conditions()) {
    Condition condition{.status = one.holds() ? "True" : "False",
                        .reason = one.reason(),
                        .message = one.message(),
                        .generation = std::to_string(generation),
                        .since = now};
    if (before != nullptr) {
      const auto known = std::ranges::find(before->conditions, one.type(), &Conditions::value_type::first);
      const bool stands = known != before->conditions.end() && known->second.status == condition.status;
      if (stands && !known->second.since.empty()) condition.since = known->second.since;
    }
    wanted.emplace_back(one.type(), std::move(condition));
  }
  return wanted;
}

json to_json(const ParentRef& ref, const Conditions& conditions, int64_t generation) {
  json list = json::array();
  for (const auto& [type, one] : conditions) {
    list.push_back({{"type", type},
                    {"status", one.status},
                    {"reason", one.reason},
                    {"message", one.message},
                    {"observedGeneration", generation},
                    {"lastTransitionTime", one.since}});
  }
  return {{"parentRef", ref.json}, {"controllerName", kController}, {"conditions", std::move(list)}};
}

}  // namespace

std::optional<std::string> status_patch(const ObjectFacts& facts, const std::vector<const v1::RouteStatus*>& statuses,
                                        const std::string& now) {
  std::vector<bool> kept(facts.parents.size());
  json changes = json::array(), additions = json::array();
  std::vector<const v1::RouteStatus*> left = statuses;
  for (const ParentRef& ref : facts.refs) {
    const auto status = std::ranges::find_if(
        left, [&](const v1::RouteStatus* one) { return !ref.text.empty() && one->parent() == ref.text; });
    if (status == left.end()) continue;
    const v1::RouteStatus& verdict = **status;
    left.erase(status);
    size_t place = 0;
    while (place < facts.parents.size() &&
           (kept[place] || !facts.parents[place].ours || facts.parents[place].ref.key != ref.key))
      ++place;
    const StatusParent* before = place < facts.parents.size() ? &facts.parents[place] : nullptr;
    const Conditions wanted = wanted_conditions(verdict, facts.generation, before, now);
    if (before != nullptr) kept[place] = true;
    if (before != nullptr && before->conditions == wanted) continue;
    json entry = to_json(ref, wanted, facts.generation);
    if (before != nullptr) {
      changes.push_back(
          {{"op", "replace"}, {"path", fmt::format("/status/parents/{}", place)}, {"value", std::move(entry)}});
    } else {
      additions.push_back({{"op", "add"}, {"path", "/status/parents/-"}, {"value", std::move(entry)}});
    }
  }
  // The last first, so that the places before it stay what they are.
  for (size_t place = facts.parents.size(); place-- > 0;) {
    if (facts.parents[place].ours && !kept[place])
      changes.push_back({{"op", "remove"}, {"path", fmt::format("/status/parents/{}", place)}});
  }
  if (changes.empty() && additions.empty()) return std::nullopt;
  json patch = json::array();
  patch.push_back({{"op", "test"}, {"path", "/metadata/resourceVersion"}, {"value", facts.version}});
  if (!facts.has_status) {
    patch.push_back({{"op", "add"}, {"path", "/status"}, {"value", {{"parents", json::array()}}}});
  } else if (!facts.has_parents) {
    patch.push_back({{"op", "add"}, {"path", "/status/parents"}, {"value", json::array()}});
  }
  for (json& step : changes) patch.push_back(std::move(step));
  for (json& step : additions) patch.push_back(std::move(step));
  return patch.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace leat::sources
