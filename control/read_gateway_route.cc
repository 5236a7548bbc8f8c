#include "control/read_gateway_route.h"

#include <algorithm>
#include <array>
#include <span>

#include <fmt/format.h>

#include "common/regex.h"
#include "control/read_route_actions.h"
#include "control/text.h"

namespace leat::control {
namespace {

constexpr std::string_view kGatewayGroup = "gateway.networking.k8s.io";
constexpr uint32_t kMaxWeight = 1'000'000;

ObjectRef read_ref(const Field& field, const std::string& default_group, const std::string& default_kind,
                   const std::string& ns) {
  return {.group = field["group"].text_or(default_group),
          .kind = field["kind"].text_or(default_kind),
          .name = {field["namespace"].name().value_or(ns), field["name"].text_or()},
          .port = field["port"].port().value_or(0),
          .place = {field.path(), field.line()}};
}

// ---- matches: what can't be read makes the whole match unusable, for it would take more requests than meant

bool is_expression(const Field& type) {
  const std::string text = type.text_or("Exact");
  if (text != "Exact" && text != "RegularExpression") {
    type.error(fmt::format("must be Exact or RegularExpression, not '{}'", text));
  }
  return text == "RegularExpression";
}

void set_text(const Field& value, bool expression, v1::StringMatch& match) {
  const std::string text = value.text_or();
  if (!expression) return match.set_exact(text);
  if (const auto regex = Regex::compile(text); !regex)
    return value.error(fmt::format("no regular expression (RE2): {}", regex.error().message));
  match.set_regex(text);
}

// Of several entries of one name the first one counts.
void read_named(const Field& list, bool any_case, google::protobuf::RepeatedPtrField<v1::NamedMatch>& matches) {
  for (const Field& item : list.items()) {
    const std::string name = any_case ? lower_case(item["name"].text_or()) : item["name"].text_or();
    if (name.empty()) item["name"].error("missing");
    if (std::ranges::find(matches, name, &v1::NamedMatch::name) != matches.end()) continue;
    v1::NamedMatch& match = *matches.Add();
    match.set_name(name);
    set_text(item["value"], is_expression(item["type"]), *match.mutable_value());
  }
}

void read_path(const Field& path, v1::RouteMatch& match) {
  const std::string type = path["type"].text_or("PathPrefix");
  std::string value = path["value"].text_or("/");
  v1::StringMatch& uri = *match.mutable_uri();
  if (type == "RegularExpression") return set_text(path["value"], true, uri);
  if (!value.starts_with('/')) path["value"].error("must begin with '/'");
  if (type == "Exact") return uri.set_exact(value);
  if (type != "PathPrefix")
    path["type"].error(fmt::format("must be Exact, PathPrefix or RegularExpression, not '{}'", type));
  if (value.size() > 1 && value.ends_with('/')) value.pop_back();
  uri.set_prefix(value);
  uri.set_whole_segments(true);
}

void read_http_match(const Field& field, v1::RouteMatch& match) {
  read_path(field["path"], match);
  if (field["method"].present()) match.mutable_method()->set_exact(field["method"].text_or());
  read_named(field["headers"], true, *match.mutable_headers());
  read_named(field["queryParams"], false, *match.mutable_query_params());
}

// A gRPC call is a request for /service/method.
void read_grpc_match(const Field& field, v1::RouteMatch& match) {
  read_named(field["headers"], true, *match.mutable_headers());
  const Field method = field["method"];
  const std::string service = method["service"].text_or();
  const std::string name = method["method"].text_or();
  if (service.empty() && name.empty()) {
    if (method.present()) method.error("needs a service or a method");
    return;
  }
  if (!is_expression(method["type"]) && !service.empty()) {
    if (name.empty()) return match.mutable_uri()->set_prefix(fmt::format("/{}/", service));
    return match.mutable_uri()->set_exact(fmt::format("/{}/{}", service, name));
  }
  const bool exact = !is_expression(method["type"]);
  const auto part = [&](const std::string& text) {
    if (text.empty()) return std::string("[^/]+");
    return exact ? Regex::quote(text) : fmt::format("(?:{})", text);
  };
  const std::string expression = fmt::format("/{}/{}", part(service), part(name));
  if (const auto regex = Regex::compile(expression); !regex)
    return method.error(fmt::format("no regular expression (RE2): {}", regex.error().message));
  match.mutable_uri()->set_regex(expression);
}

using ReadMatch = void (*)(const Field& field, v1::RouteMatch& match);

void read_matches(const Field& list, ReadMatch read, GatewayRule& rule) {
  const auto items = list.items();
  for (const Field& item : items) {
    const Findings& findings = item.sink().findings;
    const size_t before = findings.size();
    v1::RouteMatch match;
    read(item, match);
    if (holds_errors(std::span(findings).subspan(before))) {
      item.error("can't be read whole, so it is left out: without a condition it would take more requests than meant");
    } else {
      rule.matches.push_back(std::move(match));
    }
  }
  if (items.empty() && !list.present()) {
    v1::RouteMatch any;
    any.mutable_uri()->set_prefix("/");
    any.mutable_uri()->set_whole_segments(true);
    rule.matches.push_back(std::move(any));
  }
}

// ---- filters

using Lines = google::protobuf::RepeatedPtrField<v1::HeaderLine>;

void read_lines(const Field& list, Lines& lines) {
  for (const Field& item : list.items()) {
    const std::string name = lower_case(item["name"].text_or());
    const std::string value = item["value"].text_or();
    if (!may_edit_header(item["name"], name) || !is_header_value(item["value"], value)) continue;
    v1::HeaderLine& line = *lines.Add();
    line.set_name(name);
    line.set_value(value);
  }
}

void read_removed(const Field& list, google::protobuf::RepeatedPtrField<std::string>& names) {
  for (const Field& item : list.items()) {
    const std::string name = lower_case(item.text_or());
    if (may_edit_header(item, name)) *names.Add() = name;
  }
}

void read_request_modifier(const Field& modifier, v1::HeaderEdits& edits) {
  read_lines(modifier["set"], *edits.mutable_request_set());
  read_lines(modifier["add"], *edits.mutable_request_add());
  read_removed(modifier["remove"], *edits.mutable_request_remove());
}

void read_response_modifier(const Field& modifier, v1::HeaderEdits& edits) {
  read_lines(modifier["set"], *edits.mutable_response_set());
  read_lines(modifier["add"], *edits.mutable_response_add());
  read_removed(modifier["remove"], *edits.mutable_response_remove());
}

// The path that stands instead, and whether it does so for the prefix that matched only; nothing: it stays.
struct NewPath {
  std::string path;
  bool of_prefix = false;
};

std::optional<NewPath> read_new_path(const Field& path) {
  if (!path.present()) return std::nullopt;
  const std::string type = path["type"].text_or();
  const bool of_prefix = type == "ReplacePrefixMatch";
  if (!of_prefix && type != "ReplaceFullPath") {
    path["type"].error(fmt::format("must be ReplaceFullPath or ReplacePrefixMatch, not '{}'; the path stays", type));
    return std::nullopt;
  }
  const Field value = path[of_prefix ? "replacePrefixMatch" : "replaceFullPath"];
  if (!is_path(value, value.text_or(), /*with_query=*/false)) return std::nullopt;
  const std::string text = value.text_or();
  return NewPath{text.empty() ? "/" : text, of_prefix};
}

void read_redirect(const Field& filter, v1::HttpRoute& actions) {
  v1::Redirect& redirect = *actions.mutable_redirect();
  const auto scheme = filter["scheme"].text();
  if (scheme == "http" || scheme == "https") {
    redirect.set_scheme(*scheme);
  } else if (scheme) {
    filter["scheme"].error(fmt::format("must be http or https, not '{}'; the request's is used", *scheme));
  }
  if (const auto hostname = filter["hostname"].name()) redirect.set_authority(*hostname);
  if (const auto path = read_new_path(filter["path"])) {
    redirect.set_path(path->path);
    redirect.set_path_is_prefix(path->of_prefix);
  }
  if (const auto port = filter["port"].port()) {
    redirect.set_port(*port);
  } else if (!redirect.scheme().empty()) {
    redirect.set_port(redirect.scheme() == "https" ? 443 : 80);
  } else {
    redirect.set_port_of_request(true);
  }
  constexpr std::array<uint32_t, 5> kCodes = {301, 302, 303, 307, 308};
  const uint32_t code = filter["statusCode"].number(300, 399).value_or(302);
  const bool known = std::ranges::find(kCodes, code) != kCodes.end();
  if (!known) filter["statusCode"].error(fmt::format("must be 301, 302, 303, 307 or 308, not {}; 302 is used", code));
  redirect.set_code(known ? code : 302);
}

void read_rewrite(const Field& filter, v1::HttpRoute& actions) {
  v1::Rewrite& rewrite = *actions.mutable_rewrite();
  if (const auto hostname = filter["hostname"].name()) rewrite.set_authority(*hostname);
  const auto path = read_new_path(filter["path"]);
  if (path && path->of_prefix) rewrite.set_prefix(path->path);
  if (path && !path->of_prefix) rewrite.set_full_path(path->path);
}

// "https://*.example.com" is any host that ends so.
void read_origin(const Field& item, v1::Cors& cors) {
  const std::string origin = item.text_or();
  const size_t star = origin.find('*');
  v1::StringMatch& match = *cors.add_allow_origins();
  if (star == std::string::npos || origin == "*") return match.set_exact(origin);
  match.set_regex(Regex::quote(origin.substr(0, star)) + ".+" + Regex::quote(origin.substr(star + 1)));
}

void read_tokens(const Field& list, google::protobuf::RepeatedPtrField<std::string>& texts) {
  for (const Field& item : list.items()) {
    const std::string text = item.text_or();
    if (is_token(text)) {
      *texts.Add() = text;
    } else {
      item.error(fmt::format("'{}' is no method and no name of a header; ignored", text));
    }
  }
}

void read_cors_filter(const Field& filter, v1::HttpRoute& actions) {
  v1::Cors& cors = *actions.mutable_cors();
  for (const Field& item : filter["allowOrigins"].items()) read_origin(item, cors);
  read_tokens(filter["allowMethods"], *cors.mutable_allow_methods());
  read_tokens(filter["allowHeaders"], *cors.mutable_allow_headers());
  read_tokens(filter["exposeHeaders"], *cors.mutable_expose_headers());
  cors.set_max_age_s(filter["maxAge"].number(1, 31'536'000).value_or(5));
  cors.set_allow_credentials(filter["allowCredentials"].boolean().value_or(false));
}

// A filter must never be skipped: requests that need one that there is none of are answered with an error.
void refuse_rule(const Field& filter, std::string_view type, v1::HttpRoute& actions) {
  filter.error(fmt::format("'{}' is not supported; requests that the rule matches are answered with 500", type));
  actions.mutable_direct_response()->set_status(500);
}

// `percent`, or a fraction; all where neither is given.
double read_mirror_share(const Field& mirror) {
  const Field fraction = mirror["fraction"];
  if (!fraction.present()) return mirror["percent"].present() ? read_percent(mirror["percent"]).value_or(0) : 100;
  const double denominator = fraction["denominator"].number(1, UINT32_MAX).value_or(100);
  return std::min(100.0, 100.0 * fraction["numerator"].number(0, UINT32_MAX).value_or(0) / denominator);
}

void read_filters(const Field& list, const std::string& ns, GatewayRule& rule) {
  v1::HttpRoute& actions = rule.actions;
  for (const Field& filter : list.items()) {
    const std::string type = filter["type"].text_or();
    if (type == "RequestHeaderModifier") {
      read_request_modifier(filter["requestHeaderModifier"], *actions.mutable_headers());
    } else if (type == "ResponseHeaderModifier") {
      read_response_modifier(filter["responseHeaderModifier"], *actions.mutable_headers());
    } else if (type == "RequestRedirect" && !actions.has_direct_response()) {
      read_redirect(filter["requestRedirect"], actions);
    } else if (type == "URLRewrite") {
      read_rewrite(filter["urlRewrite"], actions);
    } else if (type == "CORS") {
      read_cors_filter(filter["cors"], actions);
    } else if (type == "RequestMirror") {
      const Field mirror = filter["requestMirror"];
      rule.mirrors.emplace_back(BackendRef{.to = read_ref(mirror["backendRef"], "", "Service", ns)},
                                read_mirror_share(mirror));
    } else {
      refuse_rule(filter, type, actions);
    }
  }
}

void read_backend_filters(const Field& list, BackendRef& backend) {
  for (const Field& filter : list.items()) {
    const std::string type = filter["type"].text_or();
    if (type == "RequestHeaderModifier") {
      read_request_modifier(filter["requestHeaderModifier"], backend.headers);
    } else if (type == "ResponseHeaderModifier") {
      read_response_modifier(filter["responseHeaderModifier"], backend.headers);
    } else {
      filter.error(fmt::format("'{}' is not supported for one backend; the backend gets requests without it", type));
    }
  }
}

// ---- rules

void read_times(const Field& rule, v1::HttpRoute& actions) {
  const Field timeouts = rule["timeouts"];
  if (const auto time = timeouts["request"].duration_ms()) actions.set_timeout_ms(*time);
  const auto per_try = timeouts["backendRequest"].duration_ms();
  const Field retry = rule["retry"];
  if (retry.present()) {
    v1::RetryPolicy& policy = *actions.mutable_retries();
    policy.set_attempts(retry["attempts"].number(0, 100).value_or(1));
    policy.set_backoff_ms(retry["backoff"].duration_ms().value_or(0));
    policy.add_on(v1::RETRY_CONNECT_FAILURE);
    for (const Field& code : retry["codes"].items()) {
      if (const auto status = code.number(400, 599)) policy.add_status_codes(*status);
    }
    if (!policy.status_codes().empty()) policy.add_on(v1::RETRY_STATUS_CODES);
  }
  if (per_try.value_or(0) > 0) actions.mutable_retries()->set_per_try_timeout_ms(*per_try);
}

void read_backends(const Field& list, const std::string& ns, GatewayRule& rule) {
  for (const Field& item : list.items()) {
    BackendRef backend{.to = read_ref(item, "", "Service", ns)};
    backend.weight = item["weight"].number(0, kMaxWeight).value_or(1);
    read_backend_filters(item["filters"], backend);
    rule.backends.push_back(std::move(backend));
  }
}

GatewayRouteSpec read_route(const Field& root, const Meta& meta, ReadMatch read_match) {
  GatewayRouteSpec route;
  const Field spec = root["spec"];
  if (spec["hostnames"].present())
    spec["hostnames"].warn("without effect: in the mesh the Service that the client connects to counts");
  for (const Field& item : spec["parentRefs"].items())
    route.parents.push_back(read_ref(item, std::string(kGatewayGroup), "Gateway", meta.name.ns));
  for (const Field& item : spec["rules"].items()) {
    GatewayRule rule{.name = item["name"].text_or(), .place = {item.path(), item.line()}};
    read_matches(item["matches"], read_match, rule);
    read_backends(item["backendRefs"], meta.name.ns, rule);
    read_filters(item["filters"], meta.name.ns, rule);
    read_times(item, rule.actions);
    if (!rule.matches.empty()) route.rules.push_back(std::move(rule));
  }
  if (route.parents.empty()) spec["parentRefs"].warn("names no parent: the route has no effect");
  return route;
}

}  // namespace

Object read_http_route(const Field& root, Meta meta) {
  GatewayRouteSpec spec = read_route(root, meta, read_http_match);
  return GatewayHttpRoute{std::move(meta), std::move(spec)};
}

Object read_grpc_route(const Field& root, Meta meta) {
  GatewayRouteSpec spec = read_route(root, meta, read_grpc_match);
  return GatewayGrpcRoute{std::move(meta), std::move(spec)};
}

Object read_reference_grant(const Field& root, Meta meta) {
  ReferenceGrant grant{.meta = std::move(meta), .services = std::vector<std::string>()};
  const Field spec = root["spec"];
  for (const Field& item : spec["from"].items()) {
    if (item["group"].text_or() == kGatewayGroup)
      grant.from.push_back({item["kind"].text_or(), item["namespace"].text_or()});
  }
  for (const Field& item : spec["to"].items()) {
    if (!item["group"].text_or().empty() || item["kind"].text_or() != "Service") continue;
    if (!item["name"].present()) grant.services.reset();
    if (grant.services) grant.services->push_back(item["name"].text_or());
  }
  return grant;
}

}  // namespace leat::control
