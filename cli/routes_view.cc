#include "cli/routes_view.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/text.h"
#include "common/ip.h"
#include "common/route_labels.h"

namespace leat::cli {
namespace {

using Services = std::map<std::string, const v1::Service*>;

// ---- conditions, as words: "uri=/api/*", "header x-user~[a-z]+"

std::string value_text(const v1::StringMatch& match) {
  switch (match.kind_case()) {
    case v1::StringMatch::kExact:
      return "=" + match.exact();
    case v1::StringMatch::kPrefix:
      return fmt::format("={}{}", match.prefix(), match.whole_segments() ? "/*" : "*");
    case v1::StringMatch::kRegex:
      return "~" + match.regex();
    case v1::StringMatch::KIND_NOT_SET:
      return "";
  }
  return "";
}

std::map<std::string, std::string> ordered(const google::protobuf::Map<std::string, std::string>& map) {
  return {map.begin(), map.end()};
}

std::string match_text(const v1::RouteMatch& match) {
  std::vector<std::string> words;
  if (match.has_method()) words.push_back("method" + value_text(match.method()));
  if (match.has_uri()) {
    words.push_back("uri" + value_text(match.uri()) + (match.uri().ignore_case() ? " (any case)" : ""));
  }
  if (match.has_scheme()) words.push_back("scheme" + value_text(match.scheme()));
  if (match.has_authority()) words.push_back("authority" + value_text(match.authority()));
  for (const v1::NamedMatch& header : match.headers())
    words.push_back(fmt::format("header {}{}", header.name(), value_text(header.value())));
  for (const v1::NamedMatch& header : match.without_headers())
    words.push_back(fmt::format("no header {}{}", header.name(), value_text(header.value())));
  for (const v1::NamedMatch& param : match.query_params())
    words.push_back(fmt::format("query {}{}", param.name(), value_text(param.value())));
  if (match.port() != 0) words.push_back(fmt::format("port={}", match.port()));
  for (const auto& [label, value] : ordered(match.source_labels()))
    words.push_back(fmt::format("client {}={}", label, value));
  if (!match.source_namespace().empty()) words.push_back("client namespace=" + match.source_namespace());
  return words.empty() ? "any" : fmt::format("{}", fmt::join(words, ", "));
}

std::vector<std::string> match_texts(const v1::HttpRoute& route) {
  std::vector<std::string> texts;
  for (const v1::RouteMatch& match : route.matches()) texts.push_back(match_text(match));
  return texts;
}

// Of connections: "sni=api.example.com", "to 10.0.0.0/8".
std::string match_text(const v1::ConnectionMatch& match) {
  std::vector<std::string> words;
  const auto subnets = [&](std::string_view word, const auto& all) {
    for (const v1::Subnet& subnet : all) {
      const auto base = IpAddress::from_wire(subnet.address());
      if (base)
        words.push_back(fmt::format("{} {}", word, Cidr{*base, static_cast<uint8_t>(subnet.prefix_bits())}.text()));
    }
  };
  if (!match.sni_hosts().empty()) words.push_back(fmt::format("sni={}", fmt::join(match.sni_hosts(), " or ")));
  subnets("to", match.destination_subnets());
  subnets("from", match.source_subnets());
  if (match.port() != 0) words.push_back(fmt::format("port={}", match.port()));
  for (const auto& [label, value] : ordered(match.source_labels()))
    words.push_back(fmt::format("client {}={}", label, value));
  if (!match.source_namespace().empty()) words.push_back("client namespace=" + match.source_namespace());
  return words.empty() ? "any connection" : fmt::format("{}", fmt::join(words, ", "));
}

std::vector<std::string> match_texts(const v1::ConnectionRoute& route) {
  std::vector<std::string> texts;
  for (const v1::ConnectionMatch& match : route.matches()) texts.push_back(match_text(match));
  if (texts.empty()) texts.emplace_back("any connection");
  return texts;
}

std::string name_of(const v1::HttpRoute& route) { return route.name(); }
std::string name_of(const v1::ConnectionRoute&) { return ""; }

// ---- destinations

std::string destination_text(const v1::RouteDestination& to) {
  return fmt::format("{}{}{}", to.service().empty() ? to.host() : to.service(),
                     to.port() == 0 ? "" : fmt::format(":{}", to.port()), to.subset().empty() ? "" : " " + to.subset());
}

template <typename Route>
double share_of(const v1::RouteDestination& to, const Route& route) {
  double sum = 0;
  for (const v1::RouteDestination& each : route.destinations()) sum += each.weight();
  return 100.0 * to.weight() / sum;
}

std::string problem_in(const v1::Service& service, const v1::RouteDestination& to) {
  const auto subset = std::ranges::find(service.subsets(), to.subset(), &v1::Subset::name);
  if (!to.subset().empty() && subset == service.subsets().end()) return "no such subset";
  const auto index = static_cast<uint32_t>(subset - service.subsets().begin());
  const bool any_ready = std::ranges::any_of(service.endpoints(), [&](const v1::Endpoint& endpoint) {
    return endpoint.ready() &&
           (to.subset().empty() || std::ranges::find(endpoint.subsets(), index) != endpoint.subsets().end());
  });
  return any_ready ? "" : "no ready endpoint";
}

bool has(const v1::ClientRule& rule, const std::string& ns) {
  return std::ranges::find(rule.namespaces(), ns) != rule.namespaces().end();
}

// Why requests that come there are answered with 503; empty: they are not. Clients may have different Services.
std::string problem_of(const v1::RouteDestination& to, const Services& services, const v1::RouteTable& table) {
  const auto found = services.find(to.service());
  if (found == services.end()) return "no such Service";
  const v1::Service& service = *found->second;
  if (to.port() != 0 && std::ranges::find(service.ports(), to.port(), &v1::ServicePort::port) == service.ports().end())
    return "no such port";
  std::vector<std::string> problems;
  const auto add = [&](const std::string& problem, const std::string& clients) {
    if (!problem.empty()) problems.push_back(fmt::format("{} for {}", problem, clients));
  };
  std::set<std::string> left(table.visible_to().begin(), table.visible_to().end());
  for (const v1::ClientRule& rule : service.client_rules()) {
    const auto is_its = [&](const std::string& ns) { return has(rule, ns); };
    if (!table.visible_to().empty() && std::ranges::none_of(left, is_its)) continue;
    add(problem_in(rule.service(), to), clients_text(rule));
    if (rule.labels().empty()) std::erase_if(left, is_its);
  }
  if (!table.visible_to().empty() && left.empty()) return fmt::format("{}", fmt::join(problems, ", "));
  const std::string problem = problem_in(service, to);
  if (service.client_rules().empty()) return problem;
  add(problem, "other clients");
  return fmt::format("{}", fmt::join(problems, ", "));
}

// ---- what it does besides

std::string redirect_text(const v1::Redirect& redirect) {
  std::string to = redirect.authority();
  if (redirect.port() != 0) to += fmt::format(":{}", redirect.port());
  if (!redirect.scheme().empty()) to.insert(0, redirect.scheme() + "://");
  return fmt::format("redirect {} to {}{}{}", redirect.code(), to, redirect.path(),
                     redirect.path_is_prefix() ? "*" : "");
}

std::vector<std::string> edit_texts(const v1::HeaderEdits& edits) {
  std::vector<std::string> texts;
  const auto all = [&](std::string_view verb, const auto& lines) {
    for (const v1::HeaderLine& line : lines) texts.push_back(fmt::format("{} {}", verb, line.name()));
  };
  const auto removed = [&](std::string_view verb, const auto& names) {
    for (const std::string& name : names) texts.push_back(fmt::format("{} {}", verb, name));
  };
  all("set", edits.request_set());
  all("add", edits.request_add());
  removed("remove", edits.request_remove());
  all("set response's", edits.response_set());
  all("add response's", edits.response_add());
  removed("remove response's", edits.response_remove());
  return texts;
}

std::vector<std::string> action_texts(const v1::HttpRoute& route) {
  std::vector<std::string> texts;
  if (route.has_redirect()) texts.push_back(redirect_text(route.redirect()));
  if (route.has_direct_response()) texts.push_back(fmt::format("answer {}", route.direct_response().status()));
  const v1::Rewrite& rewrite = route.rewrite();
  if (rewrite.has_prefix()) texts.push_back("rewrite to " + rewrite.prefix());
  if (rewrite.has_full_path()) texts.push_back("rewrite all to " + rewrite.full_path());
  if (rewrite.has_regex())
    texts.push_back(fmt::format("rewrite {} to {}", rewrite.regex().match(), rewrite.regex().rewrite()));
  if (!rewrite.authority().empty()) texts.push_back("set host");
  const v1::Fault& fault = route.fault();
  if (fault.delay_percent() > 0)
    texts.push_back(fmt::format("delay {:.3g}% by {} ms", fault.delay_percent(), fault.delay_ms()));
  if (fault.abort_percent() > 0) texts.push_back(fmt::format("abort {:.3g}%", fault.abort_percent()));
  if (route.has_cors()) texts.push_back("CORS");
  for (const v1::Mirror& mirror : route.mirrors())
    texts.push_back(fmt::format("mirror {:.3g}% to {}", mirror.percent(), destination_text(mirror.destination())));
  for (const std::string& text : edit_texts(route.headers())) texts.push_back(text);
  for (const v1::RouteDestination& to : route.destinations()) {
    for (const std::string& text : edit_texts(to.headers()))
      texts.push_back(fmt::format("{}: {}", destination_text(to), text));
  }
  return texts;
}

std::vector<std::string> action_texts(const v1::ConnectionRoute&) { return {}; }

std::string consequence(const v1::RouteDestination& to, const v1::HttpRoute&) {
  return fmt::format("answered with {}", to.missing_status() == 0 ? 503 : to.missing_status());
}
std::string consequence(const v1::RouteDestination&, const v1::ConnectionRoute&) { return "reset"; }

// ---- one route

template <typename Route>
Json route_json(const v1::Service& service, const v1::RouteTable& table, const Route& route, const Services& services) {
  Json destinations = Json::array();
  for (const v1::RouteDestination& to : route.destinations()) {
    destinations.push_back({{"host", to.host()},
                            {"service", to.service()},
                            {"port", to.port()},
                            {"subset", to.subset()},
                            {"weight", to.weight()},
                            {"percent", share_of(to, route)},
                            {"problem", problem_of(to, services, table)}});
  }
  const v1::Origin& origin = route.origin();
  return {{"namespace", service.namespace_()},
          {"host", service.name()},
          {"clientNamespaces", std::vector<std::string>(table.visible_to().begin(), table.visible_to().end())},
          {"name", name_of(route)},
          {"matches", match_texts(route)},
          {"destinations", std::move(destinations)},
          {"actions", action_texts(route)},
          {"from",
           {{"kind", origin.kind()},
            {"namespace", origin.namespace_()},
            {"name", origin.name()},
            {"file", origin.file()},
            {"line", origin.line()}}}};
}

template <typename Route>
Row route_row(const v1::Service& service, const v1::RouteTable& table, const Route& route, const Services& services,
              bool wide) {
  std::vector<std::string> destinations;
  std::vector<std::string> problems;
  for (const v1::RouteDestination& to : route.destinations()) {
    destinations.push_back(fmt::format("{} {:.3g}%", destination_text(to), share_of(to, route)));
    const std::string problem = problem_of(to, services, table);
    if (!problem.empty())
      problems.push_back(fmt::format("{}: {}, {}", destination_text(to), problem, consequence(to, route)));
  }
  const std::vector<std::string> matches = match_texts(route);
  const std::vector<std::string> actions = action_texts(route);
  const v1::Origin& origin = route.origin();
  Row row{
      {service.namespace_(), service.name(),
       table.visible_to().empty() ? "all" : fmt::format("{}", fmt::join(table.visible_to(), ",")),
       matches.empty() ? "any" : fmt::format("{}", fmt::join(matches, " | ")),
       Cell(or_dash(fmt::format("{}", fmt::join(destinations, ", "))), problems.empty() ? Colour::kNone : Colour::kRed),
       or_dash(fmt::format("{}", fmt::join(actions, ", "))),
       fmt::format("{} {}/{} {}:{}", origin.kind(), origin.namespace_(), origin.name(), origin.file(), origin.line())},
      fmt::format("{}", fmt::join(problems, "; "))};
  if (wide) row.cells.insert(row.cells.begin() + 3, or_dash(name_of(route)));
  return row;
}

}  // namespace

View route_statuses_view(const v1::ApiReply& reply, bool, std::string_view ns) {
  View view{Table({"NAMESPACE", "ROUTE", "PARENT", "ACCEPTED", "RESOLVED REFS"}), Json::array()};
  for (const v1::RouteStatus& status : reply.route_statuses()) {
    const v1::Origin& route = status.route();
    if (!ns.empty() && route.namespace_() != ns) continue;
    Row row{{route.namespace_(), fmt::format("{} {}", route.kind(), route.name()), status.parent()}, ""};
    Json conditions = Json::array();
    for (const v1::Condition& one : status.conditions()) {
      row.cells.emplace_back(one.holds() ? "yes" : "no: " + one.reason(), one.holds() ? Colour::kGreen : Colour::kRed);
      if (!one.holds()) row.note += (row.note.empty() ? "" : "; ") + one.message();
      conditions.push_back({{"type", one.type()},
                            {"status", one.holds() ? "True" : "False"},
                            {"reason", one.reason()},
                            {"message", one.message()}});
    }
    view.table.add(std::move(row));
    view.list.push_back({{"kind", route.kind()},
                         {"namespace", route.namespace_()},
                         {"name", route.name()},
                         {"file", route.file()},
                         {"line", route.line()},
                         {"parent", status.parent()},
                         {"conditions", std::move(conditions)}});
  }
  return view;
}

View routes_view(const v1::ApiReply& reply, bool wide, std::string_view ns) {
  Services services;
  for (const v1::Service& service : reply.mesh().services())
    services.emplace(service.namespace_() + "/" + service.name(), &service);

  std::vector<std::string> header = {"NAMESPACE", "HOST", "CLIENTS", "MATCH", "DESTINATIONS", "ALSO", "FROM"};
  if (wide) header.insert(header.begin() + 3, "ROUTE");
  View view{Table(std::move(header)), Json::array()};
  for (const v1::Service& service : reply.mesh().services()) {
    if (!ns.empty() && service.namespace_() != ns) continue;
    for (const v1::RouteTable& table : service.route_tables()) {
      const std::vector<std::string> labels = route_labels(table);
      for (int i = 0; i < table.routes_size(); ++i) {
        view.table.add(route_row(service, table, table.routes(i), services, wide));
        view.list.push_back(route_json(service, table, table.routes(i), services));
        view.list.back()["label"] = labels[static_cast<size_t>(i)];  // as `leat top` and the metrics name it
      }
      for (const v1::ConnectionRoute& route : table.connection_routes()) {
        view.table.add(route_row(service, table, route, services, wide));
        view.list.push_back(route_json(service, table, route, services));
      }
    }
  }
  return view;
}

}  // namespace leat::cli
