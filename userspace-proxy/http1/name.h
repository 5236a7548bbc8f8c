// Field names that the proxy itself acts on, and how one is told from all others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace leat::http1 {

enum class Name : uint8_t {
  kOther,
  // this hop
  kConnection,
  kKeepAlive,
  kProxyConnection,
  kProxyAuthenticate,
  kProxyAuthorization,
  kTe,
  kTransferEncoding,
  kUpgrade,
  kHttp2Settings,
  // framing and routing
  kHost,
  kContentLength,
  kExpect,
  kTrailer,
  // who and what
  kAuthorization,
  kWwwAuthenticate,
  kCookie,
  kSetCookie,
  kContentType,
  kContentEncoding,
  kContentRange,
  kCacheControl,
  kMaxForwards,
  kLocation,
  kUserAgent,
  kCount,
};
inline constexpr size_t kNames = static_cast<size_t>(Name::kCount);

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }
// Of ASCII's letters, as names, hosts and options are compared.
inline bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

// Any case. kOther for a name that is not in the list.
Name classify(std::string_view name);

// Ends at this hop (RFC 9110, section 7.6.1, and Proxy-*, which only ever meant the next proxy).
constexpr bool is_hop_by_hop(Name name) { return name >= Name::kConnection && name <= Name::kHttp2Settings; }

// Stays whatever a Connection field says of it: else a stranger could have framing, routing or credentials removed
// between two hops that must agree on them.
constexpr bool is_protected(Name name) { return name >= Name::kHost && name < Name::kUserAgent; }

// Never in a trailer section (RFC 9110, section 6.5.1): it would change framing, routing, identity or meaning late.
constexpr bool is_barred_from_trailers(Name name) { return name != Name::kOther && name != Name::kUserAgent; }

}  // namespace leat::http1
