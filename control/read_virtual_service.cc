#include "control/read_virtual_service.h"

#include <algorithm>
#include <array>
#include <span>

#include <fmt/format.h>

#include "control/read_connection_routes.h"
#include "control/read_destinations.h"
#include "control/read_route_actions.h"
#include "control/read_text_match.h"
#include "control/read_visibility.h"
#include "control/text.h"

namespace leat::control {
namespace {

constexpr std::string_view kMeshGateway = "mesh";

bool names_mesh(const std::vector<Field>& gateways) {
  return std::ranges::any_of(gateways, [](const Field& gateway) { return gateway.text_or() == kMeshGateway; });
}

// ---- match

using NamedMatches = google::protobuf::RepeatedPtrField<v1::NamedMatch>;

void read_query_params(const Field& field, NamedMatches& matches) {
  for (const auto& [name, condition] : field.entries()) {
    v1::NamedMatch& match = *matches.Add();
    match.set_name(name);
    read_text_match(condition, Empty::kPresent, *match.mutable_value());
  }
}

void read_headers(const Field& field, NamedMatches& matches) {
  constexpr std::array<std::string_view, 4> kFieldsOfTheMatch = {"authority", "method", "scheme", "uri"};
  for (const auto& [name, condition] : field.entries()) {
    if (std::ranges::find(kFieldsOfTheMatch, name) != kFieldsOfTheMatch.end()) {
      condition.warn("ignored, as in Istio: this is a field of the match, not a header");
      continue;
    }
    v1::NamedMatch& match = *matches.Add();
    match.set_name(lower_case(name));
    read_text_match(condition, Empty::kPresent, *match.mutable_value());
  }
}

bool is_condition(std::string_view name) {
  constexpr std::array<std::string_view, 14> kConditions = {
      "authority",   "gateways", "headers",      "ignoreUriCase",   "method",     "name", "port",
      "queryParams", "scheme",   "sourceLabels", "sourceNamespace", "statPrefix", "uri",  "withoutHeaders"};
  return std::ranges::find(kConditions, name) != kConditions.end();
}

void read_conditions(const Field& field, v1::RouteMatch& match) {
  for (const auto& [name, value] : field.entries()) {
    if (!is_condition(name)) field.error("has a condition that Leat does not know");
  }
  match.set_name(field["name"].text_or());
  const auto read_text = [&field](const char* name, v1::StringMatch* (v1::RouteMatch::*text)(), v1::RouteMatch& into) {
    if (field[name].present()) read_text_match(field[name], Empty::kWrong, *(into.*text)());
  };
  read_text("uri", &v1::RouteMatch::mutable_uri, match);
  read_text("scheme", &v1::RouteMatch::mutable_scheme, match);
  read_text("method", &v1::RouteMatch::mutable_method, match);
  read_text("authority", &v1::RouteMatch::mutable_authority, match);
  if (field["ignoreUriCase"].boolean().value_or(false) && match.has_uri()) match.mutable_uri()->set_ignore_case(true);
  read_headers(field["headers"], *match.mutable_headers());
  read_headers(field["withoutHeaders"], *match.mutable_without_headers());
  read_query_params(field["queryParams"], *match.mutable_query_params());
  match.set_port(field["port"].port().value_or(0));
  for (const auto& [label, value] : field["sourceLabels"].labels()) (*match.mutable_source_labels())[label] = value;
  match.set_source_namespace(field["sourceNamespace"].text_or());
}

// Whether any request is left that the route takes.
bool read_matches(const Field& field, HttpRoute& route) {
  if (field.present() && !field.is_list()) {
    field.error("must be a list; the route is left out");
    return false;
  }
  const auto items = field.items();
  for (const Field& item : items) {
    const Findings& findings = item.sink().findings;
    const size_t before = findings.size();
    v1::RouteMatch match;
    if (item.is_map()) {
      const auto gateways = item["gateways"].items();
      if (!gateways.empty() && !names_mesh(gateways)) continue;  // never holds in the mesh
      read_conditions(item, match);
    } else {
      item.error("must be a mapping of fields");
    }
    if (holds_errors(std::span(findings).subspan(before))) {
      item.error("can't be read whole, so it is left out: without a condition it would take more requests than meant");
    } else {
      route.matches.push_back(std::move(match));
    }
  }
  return items.empty() || !route.matches.empty();
}

// ---- route

void read_mirror(const Field& destination, double percent, HttpRoute& route) {
  if (destination["host"].text_or().empty()) return destination["host"].error("missing: nothing is mirrored");
  if (percent > 0) route.mirrors.push_back({read_destination(destination), percent});
}

// Istio's older form has one and its percentage beside it.
void read_mirrors(const Field& entry, HttpRoute& route) {
  if (entry["mirror"].present()) {
    double percent = 100;
    if (entry["mirrorPercentage"].present()) {
      percent = read_percent(entry["mirrorPercentage"]["value"]).value_or(0);
    } else if (entry["mirrorPercent"].present()) {
      percent = read_percent(entry["mirrorPercent"]).value_or(0);
    }
    read_mirror(entry["mirror"], percent, route);
  }
  for (const Field& item : entry["mirrors"].items()) {
    const Field percentage = item["percentage"];
    read_mirror(item["destination"], percentage.present() ? read_percent(percentage["value"]).value_or(0) : 100, route);
  }
}

void read_http_route(const Field& field, VirtualService& service) {
  HttpRoute route{.name = field["name"].text_or(), .place = {field.path(), field.line()}};
  if (!read_matches(field["match"], route)) return;
  read_actions(field, route.actions);
  read_mirrors(field, route);
  const Field delegate = field["delegate"];
  if (delegate.present()) {
    if (field["route"].present() || field["redirect"].present() || field["directResponse"].present())
      delegate.error("holds alone: what the entry says of where requests go is ignored");
    route.actions.clear_answer();
    route.delegate = Name{delegate["namespace"].name().value_or(service.meta.name.ns), delegate["name"].text_or()};
  } else if (route.actions.answer_case() != v1::HttpRoute::ANSWER_NOT_SET) {
    if (field["route"].present()) field["route"].error("no request comes here: the entry answers by itself");
  } else if (!read_destinations(field["route"], "the requests that come here are answered with 503",
                                route.destinations)) {
    return field.error("has no route that leads anywhere, so it is left out: the next entry that matches holds");
  }
  service.http.push_back(std::move(route));
}

// ---- what no field of Istio's says

// Istio has no field for hedging, so that it stands beside the routes, for all of them.
void read_hedging(const Field& metadata, VirtualService& service) {
  constexpr std::string_view kHedgeAnnotation = "leat.dev/hedge-after";
  for (const auto& [name, field] : metadata["annotations"].entries()) {
    if (name != kHedgeAnnotation) continue;
    const auto after = field.duration_ms();
    if (!after) return;
    if (*after == 0) return field.error("must be longer than 0; no request is hedged");
    for (HttpRoute& route : service.http) route.actions.set_hedge_after_ms(*after);
    if (service.http.empty()) field.warn("has no effect: spec.http has no routes");
  }
}

// ---- spec

void read_gateways(const Field& field, VirtualService& service) {
  const auto gateways = field.items();
  if (gateways.empty()) return;
  service.in_mesh = names_mesh(gateways);
  if (!service.in_mesh) return field.warn("only 'mesh' is supported yet; the object has no effect");
  for (const Field& gateway : gateways) {
    if (gateway.text_or() != kMeshGateway) gateway.warn("only 'mesh' is supported yet; ignored");
  }
}

}  // namespace

Object read_virtual_service(const Field& root, Meta meta) {
  VirtualService service{.meta = std::move(meta)};
  const Field spec = root["spec"];
  for (const Field& item : spec["hosts"].items()) service.hosts.push_back({item.text_or(), {item.path(), item.line()}});
  if (service.hosts.empty() && spec["http"].items().empty())
    spec["hosts"].fatal("missing: say whose requests are routed; the object is left out");
  read_gateways(spec["gateways"], service);
  service.visible_to = read_visibility(spec["exportTo"], service.meta.name.ns);
  for (const Field& item : spec["http"].items()) read_http_route(item, service);
  read_hedging(root["metadata"], service);
  read_connection_routes(spec, service);
  for (const char* list : {"http", "tls", "tcp"}) {
    if (!service.routes_anything() && spec[list].present() && service.in_mesh)
      spec[list].error("no entry of it can be used; the object has no effect");
  }
  return service;
}

}  // namespace leat::control
