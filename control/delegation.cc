#include "control/delegation.h"

#include <algorithm>

namespace leat::control {
namespace {

using NamedMatches = google::protobuf::RepeatedPtrField<v1::NamedMatch>;

std::string joined_name(const std::string& root, const std::string& below) {
  if (root.empty() || below.empty()) return root + below;
  return root + "-" + below;
}

// An expression can't be compared with anything; a prefix holds what begins with it.
bool contradict(const v1::StringMatch& root, const v1::StringMatch& below) {
  if (root.kind_case() == v1::StringMatch::KIND_NOT_SET || below.kind_case() == v1::StringMatch::KIND_NOT_SET)
    return false;
  if (root.has_regex() || below.has_regex()) return true;
  const std::string& wanted = below.has_exact() ? below.exact() : below.prefix();
  if (root.has_exact()) return !below.has_exact() || root.exact() != wanted;
  return !wanted.starts_with(root.prefix());
}

const v1::NamedMatch* find(const NamedMatches& matches, const std::string& name) {
  const auto found = std::ranges::find(matches, name, &v1::NamedMatch::name);
  return found == matches.end() ? nullptr : &*found;
}

bool contradict(const NamedMatches& root, const NamedMatches& below) {
  return std::ranges::any_of(below, [&](const v1::NamedMatch& match) {
    const v1::NamedMatch* same = find(root, match.name());
    return same != nullptr && contradict(same->value(), match.value());
  });
}

bool contradict(const v1::RouteMatch& root, const v1::RouteMatch& below) {
  if (contradict(root.uri(), below.uri()) || contradict(root.scheme(), below.scheme()) ||
      contradict(root.method(), below.method()) || contradict(root.authority(), below.authority()) ||
      contradict(root.headers(), below.headers()) || contradict(root.without_headers(), below.without_headers()) ||
      contradict(root.query_params(), below.query_params()))
    return true;
  if (root.has_uri() && below.has_uri() && root.uri().ignore_case() != below.uri().ignore_case()) return true;
  if (root.port() != 0 && below.port() != 0 && root.port() != below.port()) return true;
  if (!root.source_namespace().empty() && !below.source_namespace().empty() &&
      root.source_namespace() != below.source_namespace())
    return true;
  return std::ranges::any_of(below.source_labels(), [&](const auto& label) {
    const auto same = root.source_labels().find(label.first);
    return same != root.source_labels().end() && same->second != label.second;
  });
}

void add_missing(const NamedMatches& root, NamedMatches& below) {
  for (const v1::NamedMatch& match : root) {
    if (find(below, match.name()) == nullptr) *below.Add() = match;
  }
}

v1::RouteMatch merge(const v1::RouteMatch& root, v1::RouteMatch below) {
  below.set_name(joined_name(root.name(), below.name()));
  if (root.has_uri() && !below.has_uri()) *below.mutable_uri() = root.uri();
  if (root.has_scheme() && !below.has_scheme()) *below.mutable_scheme() = root.scheme();
  if (root.has_method() && !below.has_method()) *below.mutable_method() = root.method();
  if (root.has_authority() && !below.has_authority()) *below.mutable_authority() = root.authority();
  add_missing(root.headers(), *below.mutable_headers());
  add_missing(root.without_headers(), *below.mutable_without_headers());
  add_missing(root.query_params(), *below.mutable_query_params());
  if (below.port() == 0) below.set_port(root.port());
  if (below.source_namespace().empty()) below.set_source_namespace(root.source_namespace());
  below.mutable_source_labels()->insert(root.source_labels().begin(), root.source_labels().end());
  return below;
}

// Each condition of the delegate must lie within one of the root's.
std::optional<std::vector<v1::RouteMatch>> merge(const std::vector<v1::RouteMatch>& root,
                                                 const std::vector<v1::RouteMatch>& below) {
  if (root.empty()) return below;
  if (below.empty()) return root;
  std::vector<v1::RouteMatch> merged;
  for (const v1::RouteMatch& match : below) {
    const size_t before = merged.size();
    for (const v1::RouteMatch& wider : root) {
      if (!contradict(wider, match)) merged.push_back(merge(wider, match));
    }
    if (merged.size() == before) return std::nullopt;
  }
  return merged;
}

}  // namespace

std::optional<HttpRoute> merge_delegate(const HttpRoute& root, HttpRoute below) {
  std::optional<std::vector<v1::RouteMatch>> matches = merge(root.matches, below.matches);
  if (!matches) return std::nullopt;
  below.matches = std::move(*matches);
  below.name = joined_name(root.name, below.name);
  v1::HttpRoute& actions = below.actions;
  const v1::HttpRoute& inherited = root.actions;
  if (inherited.has_headers() && !actions.has_headers()) *actions.mutable_headers() = inherited.headers();
  if (inherited.has_rewrite() && !actions.has_rewrite()) *actions.mutable_rewrite() = inherited.rewrite();
  if (inherited.has_fault() && !actions.has_fault()) *actions.mutable_fault() = inherited.fault();
  if (inherited.has_cors() && !actions.has_cors()) *actions.mutable_cors() = inherited.cors();
  if (inherited.has_retries() && !actions.has_retries()) *actions.mutable_retries() = inherited.retries();
  if (actions.timeout_ms() == 0) actions.set_timeout_ms(inherited.timeout_ms());
  if (actions.hedge_after_ms() == 0) actions.set_hedge_after_ms(inherited.hedge_after_ms());
  if (below.mirrors.empty()) below.mirrors = root.mirrors;
  return below;
}

}  // namespace leat::control
