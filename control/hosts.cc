#include "control/hosts.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "control/text.h"

namespace leat::control {
namespace {

constexpr std::string_view kClusterDomain = "svc.cluster.local";

}  // namespace

std::string full_host(const Name& service) { return fmt::format("{}.{}.{}", service.name, service.ns, kClusterDomain); }

Host::Host(std::string_view text, const std::string& ns) : text_(lower_case(std::string(text))) {
  const std::string& host = text_;
  if (host.starts_with('*')) {
    suffix_ = host.size() == 1 ? "." : host.substr(1);
    return;
  }
  const size_t dot = std::min(host.find('.'), host.size());
  const std::string name = host.substr(0, dot);
  const std::string rest = host.substr(std::min(dot + 1, host.size()));
  const size_t second = std::min(rest.find('.'), rest.size());
  const std::string_view domain = std::string_view(rest).substr(std::min(second + 1, rest.size()));
  if (name.empty() || !(domain.empty() || domain == "svc" || domain == kClusterDomain)) return;
  service_ = Name{rest.empty() ? ns : rest.substr(0, second), name};
}

bool Host::covers(const Name& service) const {
  if (service_) return *service_ == service;
  const bool outside = service.name.contains('.');  // a ServiceEntry's, whose name is a host
  if (!is_wildcard()) return outside && text_ == service.name;
  return is_everything() || (outside ? service.name : full_host(service)).ends_with(suffix_);
}

size_t Host::specificity() const { return is_wildcard() ? suffix_.size() : std::numeric_limits<size_t>::max(); }

}  // namespace leat::control
