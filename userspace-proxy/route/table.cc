#include "userspace-proxy/route/table.h"

#include <algorithm>

#include <fmt/format.h>

#include "common/check.h"
#include "common/route_labels.h"

namespace leat::proxy::route {
namespace {

using Problems = std::vector<std::string>;

TextMatcher compile(const v1::StringMatch& match, Problems* problems) {
  std::string problem;
  TextMatcher matcher(match, &problem);
  if (!problem.empty()) problems->push_back(std::move(problem));
  return matcher;
}

std::vector<NamedMatcher> compile(const google::protobuf::RepeatedPtrField<v1::NamedMatch>& matches,
                                  Problems* problems) {
  std::vector<NamedMatcher> matchers;
  for (const v1::NamedMatch& match : matches) matchers.push_back({match.name(), compile(match.value(), problems)});
  return matchers;
}

// Whether requests that come here have somewhere to go.
bool leads_somewhere(const Route& route) {
  if (route.destinations.empty()) return route.actions && (route.actions->redirect || route.actions->direct_response);
  return route.destinations.back().end != 0;
}

Route compile(const v1::HttpRoute& message, std::string label, Problems* problems) {
  Route route{.name = message.name(),
              .origin = fmt::format("{} {}/{}", message.origin().kind(), message.origin().namespace_(),
                                    message.origin().name()),
              .label = std::move(label),
              .timeout = std::chrono::milliseconds(message.timeout_ms()),
              .hedge_after = std::chrono::milliseconds(message.hedge_after_ms())};
  if (message.has_retries()) route.retries = RetryPolicy(message.retries());
  for (const v1::RouteMatch& match : message.matches()) route.matches.emplace_back(match, problems);
  uint64_t end = 0;
  for (const v1::RouteDestination& destination : message.destinations()) {
    end += destination.weight();
    route.destinations.push_back(compile_destination(destination, message, end));
  }
  route.actions = compile_actions(message, problems);
  return route;
}

}  // namespace

std::optional<std::string_view> query_param(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view param = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(param.size() + 1, query.size()));
    const std::string_view key = param.substr(0, param.find('='));
    if (key == name) return param.substr(std::min(key.size() + 1, param.size()));
  }
  return std::nullopt;
}

Matcher::Matcher(const v1::RouteMatch& match, Problems* problems)
    : headers_(compile(match.headers(), problems)),
      without_headers_(compile(match.without_headers(), problems)),
      query_params_(compile(match.query_params(), problems)),
      port_(static_cast<uint16_t>(match.port())),
      client_labels_(match.source_labels().begin(), match.source_labels().end()),
      client_namespace_(match.source_namespace()) {
  if (match.has_uri()) uri_ = compile(match.uri(), problems);
  if (match.has_scheme()) scheme_ = compile(match.scheme(), problems);
  if (match.has_method()) method_ = compile(match.method(), problems);
  if (match.has_authority()) authority_ = compile(match.authority(), problems);
}

bool Matcher::matches(const Request& request, const Client& client) const {
  const auto holds = [](const std::optional<TextMatcher>& matcher, std::string_view text) {
    return !matcher || matcher->matches(text);
  };
  std::string joined;
  const auto has_header = [&](const NamedMatcher& header) {
    const auto value = request.headers(header.name, joined);
    return value && header.value.matches(*value);
  };
  const auto has_param = [&](const NamedMatcher& param) {
    const auto value = query_param(request.query, param.name);
    return value && param.value.matches(*value);
  };
  const auto has_label = [&](const auto& label) {
    const auto found = client.labels.find(label.first);
    return found != client.labels.end() && found->second == label.second;
  };
  return (port_ == 0 || port_ == request.port) &&
         (client_namespace_.empty() || client_namespace_ == client.namespace_) &&
         std::ranges::all_of(client_labels_, has_label) && holds(method_, request.method) &&
         holds(uri_, request.path) && holds(scheme_, request.scheme) && holds(authority_, request.authority) &&
         std::ranges::all_of(headers_, has_header) && std::ranges::none_of(without_headers_, has_header) &&
         std::ranges::all_of(query_params_, has_param);
}

MatchedPath Matcher::matched_path(std::string_view path) const {
  if (!uri_) return {.bytes = 1};
  const std::optional<std::string_view> prefix = uri_->prefix();
  if (!prefix) return {.bytes = path.size(), .whole_segments = true};
  return {.bytes = prefix->size(), .whole_segments = uri_->whole_segments()};
}

bool Table::is_visible_to(std::string_view client_namespace) const {
  return visible_to.empty() || std::ranges::find(visible_to, client_namespace) != visible_to.end();
}

std::vector<Table> compile_tables(const v1::Service& service, Problems* problems) {
  std::vector<Table> tables;
  for (const v1::RouteTable& message : service.route_tables()) {
    Table table{.visible_to = {message.visible_to().begin(), message.visible_to().end()}};
    std::vector<std::string> labels = route_labels(message);
    for (int i = 0; i < message.routes_size(); ++i) {
      Route compiled = compile(message.routes(i), std::move(labels[static_cast<size_t>(i)]), problems);
      if (!leads_somewhere(compiled)) {
        problems->push_back(fmt::format("service {}/{}: a route of {} leads nowhere", service.namespace_(),
                                        service.name(), compiled.origin));
        continue;
      }
      table.routes.push_back(std::move(compiled));
    }
    for (const v1::ConnectionRoute& route : message.connection_routes()) {
      ConnectionRoute compiled = compile_connection_route(route);
      if (compiled.destinations.empty() || compiled.destinations.back().end == 0) {
        problems->push_back(fmt::format("service {}/{}: a route of {} leads nowhere", service.namespace_(),
                                        service.name(), compiled.origin));
        continue;
      }
      table.connections.push_back(std::move(compiled));
    }
    tables.push_back(std::move(table));
  }
  return tables;
}

}  // namespace leat::proxy::route
