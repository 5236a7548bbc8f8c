#include "common/spiffe.h"

#include <algorithm>
#include <array>

namespace leat {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr size_t kMaxTrustDomainBytes = 255;  // SPIFFE-ID, section 2.1

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_trust_domain_char(char c) { return is_lower_or_digit(c) || c == '.' || c == '-' || c == '_'; }
bool is_segment_char(char c) { return is_trust_domain_char(c) || (c >= 'A' && c <= 'Z'); }

bool is_trust_domain(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTrustDomainBytes && std::ranges::all_of(text, is_trust_domain_char);
}

bool is_segment(std::string_view text) {
  return !text.empty() && text != "." && text != ".." && std::ranges::all_of(text, is_segment_char);
}

}  // namespace

Result<SpiffeId> SpiffeId::make(std::string_view trust_domain, std::string_view ns, std::string_view service_account) {
  if (!is_trust_domain(trust_domain)) {
    return fail(ErrorCode::kInvalid, "SPIFFE ID: the trust domain must be 1 to {} of a-z 0-9 . - _",
                kMaxTrustDomainBytes);
  }
  if (!is_segment(ns))
    return fail(ErrorCode::kInvalid,
                "SPIFFE ID: the namespace must be letters, digits, '.', '-', '_', and not a dot path");
  if (!is_segment(service_account)) {
    return fail(ErrorCode::kInvalid,
                "SPIFFE ID: the service account must be letters, digits, '.', '-', '_', and not a dot path");
  }
  SpiffeId id{std::string(trust_domain), std::string(ns), std::string(service_account)};
  if (id.text().size() > kMaxBytes) return fail(ErrorCode::kInvalid, "SPIFFE ID: longer than {} bytes", kMaxBytes);
  return id;
}

Result<SpiffeId> SpiffeId::parse(std::string_view text) {
  if (text.size() > kMaxBytes) return fail(ErrorCode::kInvalid, "SPIFFE ID: longer than {} bytes", kMaxBytes);
  if (!text.starts_with(kScheme)) return fail(ErrorCode::kInvalid, "SPIFFE ID: does not begin with {}", kScheme);
  text.remove_prefix(kScheme.size());

  std::array<std::string_view, 5> parts;  // trust domain, "ns", namespace, "sa", service account
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t slash = text.find('/');
    const bool last = i + 1 == parts.size();
    if ((slash == std::string_view::npos) != last) {
      return fail(ErrorCode::kInvalid, "SPIFFE ID: the path is not /ns/<namespace>/sa/<service account>");
    }
    parts[i] = text.substr(0, slash);
    if (!last) text.remove_prefix(slash + 1);
  }
  if (parts[1] != "ns" || parts[3] != "sa") {
    return fail(ErrorCode::kInvalid, "SPIFFE ID: the path is not /ns/<namespace>/sa/<service account>");
  }
  return make(parts[0], parts[2], parts[4]);
}

std::string SpiffeId::text() const {
  return fmt::format("{}{}/ns/{}/sa/{}", kScheme, trust_domain, ns, service_account);
}

}  // namespace leat
