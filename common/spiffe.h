// A workload's name in a certificate: spiffe://<trust domain>/ns/<namespace>/sa/<service account>.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "common/result.h"

namespace leat {

struct SpiffeId {
  std::string trust_domain;
  std::string ns;
  std::string service_account;

  static constexpr size_t kMaxBytes = 2048;  // SPIFFE-ID, section 2.3

  // Strict (SPIFFE-ID, section 2): scheme exactly "spiffe://", a lower-case trust domain of [a-z0-9.-_], no port, user,
  // query, fragment or percent sign, path segments of [A-Za-z0-9._-] that are neither "." nor "..", no trailing slash;
  // and the path has the form that Kubernetes meshes use. Anything else is kInvalid with a sentence that names the
  // fault.
  static Result<SpiffeId> parse(std::string_view text);
  // The same rules for parts that did not come as one text, such as a model's namespace and service account.
  static Result<SpiffeId> make(std::string_view trust_domain, std::string_view ns, std::string_view service_account);

  [[nodiscard]] std::string text() const;
  auto operator<=>(const SpiffeId&) const = default;
};

}  // namespace leat
