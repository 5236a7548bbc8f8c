#include "userspace-proxy/route/cors.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace leat::proxy::route {
namespace {

std::string list_of(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  return fmt::format("{}", fmt::join(texts, ","));
}

}  // namespace

Cors::Cors(const v1::Cors& message, std::vector<std::string>* problems)
    : methods_(list_of(message.allow_methods())),
      headers_(list_of(message.allow_headers())),
      expose_headers_(list_of(message.expose_headers())),
      max_age_(message.max_age_s() == 0 ? "" : std::to_string(message.max_age_s())),
      credentials_(message.allow_credentials()),
      forward_unmatched_(message.forward_unmatched_preflights()) {
  for (const v1::StringMatch& match : message.allow_origins()) {
    std::string problem;
    origins_.emplace_back(match, &problem);
    if (!problem.empty()) problems->push_back(std::move(problem));
  }
}

Cors::Kind Cors::judge(const Asked& asked) const {
  if (!asked.origin || asked.origin->empty()) return Kind::kNone;
  const bool preflight = asked.method == "OPTIONS" && asked.requested_method && !asked.requested_method->empty();
  if (allows(*asked.origin)) return preflight ? Kind::kPreflight : Kind::kAllowed;
  return preflight && !forward_unmatched_ ? Kind::kRefusedPreflight : Kind::kNone;
}

// A policy that takes "*" takes all.
bool Cors::allows(std::string_view origin) const {
  return std::ranges::any_of(
      origins_, [&](const TextMatcher& matcher) { return matcher.matches(origin) || matcher.matches("*"); });
}

}  // namespace leat::proxy::route
