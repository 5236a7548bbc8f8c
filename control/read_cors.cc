#include "control/read_cors.h"

#include <fmt/format.h>

#include "control/read_route_actions.h"
#include "control/read_text_match.h"

namespace leat::control {
namespace {

using Texts = google::protobuf::RepeatedPtrField<std::string>;

// Methods and names of headers, "*" among them: all of them are tokens.
void read_tokens(const Field& list, Texts& texts) {
  for (const Field& item : list.items()) {
    const auto text = item.text();
    if (!text) continue;
    if (is_token(*text)) {
      *texts.Add() = *text;
    } else {
      item.error(fmt::format("'{}' is no method and no name of a header; ignored", *text));
    }
  }
}

}  // namespace

v1::Cors read_cors(const Field& policy) {
  v1::Cors cors;
  for (const Field& item : policy["allowOrigin"].items()) cors.add_allow_origins()->set_exact(item.text_or());
  for (const Field& item : policy["allowOrigins"].items()) {
    v1::StringMatch match;
    read_text_match(item, Empty::kWrong, match);
    if (match.kind_case() != v1::StringMatch::KIND_NOT_SET) *cors.add_allow_origins() = std::move(match);
  }
  if (cors.allow_origins().empty()) policy.warn("allows no origin, so it has no effect");
  read_tokens(policy["allowMethods"], *cors.mutable_allow_methods());
  read_tokens(policy["allowHeaders"], *cors.mutable_allow_headers());
  read_tokens(policy["exposeHeaders"], *cors.mutable_expose_headers());
  if (const auto age = policy["maxAge"].duration_ms()) cors.set_max_age_s(*age / 1000);
  if (const auto allowed = policy["allowCredentials"].boolean()) cors.set_allow_credentials(*allowed);
  const std::string unmatched = policy["unmatchedPreflights"].text_or("FORWARD");
  cors.set_forward_unmatched_preflights(unmatched != "IGNORE");
  if (unmatched != "FORWARD" && unmatched != "IGNORE" && unmatched != "UNSPECIFIED") {
    policy["unmatchedPreflights"].error(fmt::format("must be FORWARD or IGNORE, not '{}'; FORWARD is used", unmatched));
  }
  return cors;
}

}  // namespace leat::control
