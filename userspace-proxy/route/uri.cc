#include "userspace-proxy/route/uri.h"

#include <algorithm>

#include <fmt/format.h>

namespace leat::proxy::route {
namespace {

// `prefix` in place of what matched. Between whole segments stands one '/', wherever `prefix` and the rest have theirs.
std::string replace_matched(std::string_view path, MatchedPath matched, std::string_view prefix) {
  std::string_view rest = path.substr(std::min(matched.bytes, path.size()));
  if (!matched.whole_segments) return fmt::format("{}{}", prefix, rest);
  if (prefix.ends_with('/')) prefix.remove_suffix(1);
  if (rest.starts_with('/')) rest.remove_prefix(1);
  return rest.empty() && matched.bytes >= path.size() && !prefix.empty() ? std::string(prefix)
                                                                         : fmt::format("{}/{}", prefix, rest);
}

// A host without its port: "[::1]:80", "backend:8080".
std::string_view host_of(std::string_view authority) {
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  return has_port ? authority.substr(0, colon) : authority;
}

uint16_t default_port(std::string_view scheme) { return scheme == "https" ? 443 : scheme == "http" ? 80 : 0; }

}  // namespace

PathRewrite::PathRewrite(const v1::Rewrite& rewrite, std::string* problem) : kind_(rewrite.path_case()) {
  if (kind_ == v1::Rewrite::kPrefix) text_ = rewrite.prefix();
  if (kind_ == v1::Rewrite::kFullPath) text_ = rewrite.full_path();
  if (kind_ != v1::Rewrite::kRegex) return;
  Result<Substitution> expression = Substitution::compile(rewrite.regex().match(), rewrite.regex().rewrite());
  if (expression) {
    expression_ = std::move(*expression);
  } else {
    *problem = fmt::format("'{}' can't rewrite: {}", rewrite.regex().match(), expression.error().message);
  }
}

std::optional<std::string> PathRewrite::apply(std::string_view path, MatchedPath matched) const {
  std::optional<std::string> written;
  switch (kind_) {
    case v1::Rewrite::kPrefix:
      written = replace_matched(path, matched, text_);
      break;
    case v1::Rewrite::kFullPath:
      written = text_;
      break;
    case v1::Rewrite::kRegex:
      written = expression_ ? expression_->apply(path, kMaxPathBytes) : std::string(path);
      break;
    case v1::Rewrite::PATH_NOT_SET:
      written = std::string(path);
      break;
  }
  if (!written) return std::nullopt;
  if (!written->starts_with('/') && *written != "*") written->insert(0, 1, '/');
  if (written->size() > kMaxPathBytes) return std::nullopt;
  return written;
}

Redirect::Redirect(const v1::Redirect& message)
    : scheme_(message.scheme()),
      authority_(message.authority()),
      path_(message.path()),
      port_(static_cast<uint16_t>(message.port())),
      code_(static_cast<uint16_t>(message.code() == 0 ? 301 : message.code())),
      path_is_prefix_(message.path_is_prefix()),
      port_of_request_(message.port_of_request()) {}

std::string Redirect::location(const Asked& asked, MatchedPath matched) const {
  const std::string_view scheme = scheme_.empty() ? asked.scheme : std::string_view(scheme_);
  const uint16_t port = port_of_request_ ? asked.port : port_;
  std::string authority(authority_.empty() ? asked.authority : std::string_view(authority_));
  if (port != 0) {
    authority = host_of(authority);
    if (port != default_port(scheme)) authority += fmt::format(":{}", port);
  } else if (authority_.empty() && scheme != asked.scheme) {  // the old scheme's port is not the new one's
    const std::string old_default = fmt::format(":{}", default_port(asked.scheme));
    if (authority.ends_with(old_default)) authority = host_of(authority);
  }
  std::string path(asked.path);
  if (path_is_prefix_) {
    path = replace_matched(asked.path, matched, path_);
  } else if (!path_.empty()) {
    path = path_;
  }
  const bool has_query = path.find('?') != std::string::npos;  // one of its own replaces the request's
  return fmt::format("{}://{}{}{}{}", scheme, authority, path, has_query || asked.query.empty() ? "" : "?",
                     has_query ? std::string_view() : asked.query);
}

}  // namespace leat::proxy::route
