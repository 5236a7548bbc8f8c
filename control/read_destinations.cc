#include "control/read_destinations.h"

#include <charconv>

#include <fmt/format.h>

#include "control/read_route_actions.h"

namespace leat::control {
namespace {

constexpr uint32_t kMaxWeight = 1'000'000;

std::optional<uint32_t> read_weight(const Field& field) {
  const auto text = field.text();
  if (!text) return std::nullopt;
  uint32_t weight = 0;
  const auto [end, status] = std::from_chars(text->data(), text->data() + text->size(), weight);
  if (status == std::errc{} && end == text->data() + text->size() && weight <= kMaxWeight) return weight;
  field.error(fmt::format("must be a whole number, 0 to {}, not '{}'; 0 is taken", kMaxWeight, *text));
  return 0;
}

// Turns what is written into shares of which one at least is not 0.
void settle_weights(const Field& list, const std::vector<Field>& items,
                    const std::vector<std::optional<uint32_t>>& weights, std::vector<RouteDestination>& destinations) {
  if (destinations.size() == 1) {
    if (weights[0] == 0u) items[0]["weight"].warn("a single destination gets all requests, whatever its weight");
    destinations[0].weight = 1;
    return;
  }
  uint64_t sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    destinations[i].weight = weights[i].value_or(0);
    sum += destinations[i].weight;
  }
  if (sum == 0) {
    list.error("the weights sum to 0; all destinations get the same share");
    for (RouteDestination& destination : destinations) destination.weight = 1;
    return;
  }
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!weights[i]) items[i].warn("has no weight and others have one: it gets no request");
  }
}

}  // namespace

RouteDestination read_destination(const Field& destination) {
  return {.host = destination["host"].text_or(),
          .subset = destination["subset"].text_or(),
          .port = destination["port"]["number"].port().value_or(0),
          .place = {destination.path(), destination.line()}};
}

bool read_destinations(const Field& list, std::string_view consequence, std::vector<RouteDestination>& destinations) {
  const auto items = list.items();
  std::vector<std::optional<uint32_t>> weights;
  for (const Field& item : items) {
    const Field destination = item["destination"];
    if (destination["host"].text_or().empty()) destination["host"].error(fmt::format("missing: {}", consequence));
    destinations.push_back(read_destination(destination));
    read_header_edits(item["headers"], destinations.back().headers);
    weights.push_back(read_weight(item["weight"]));
  }
  if (items.empty()) return false;
  settle_weights(list, items, weights, destinations);
  return true;
}

}  // namespace leat::control
