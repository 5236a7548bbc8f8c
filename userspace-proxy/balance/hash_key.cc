#include "userspace-proxy/balance/hash_key.h"

#include <algorithm>

#include <fmt/format.h>

#include "userspace-proxy/balance/hash_table.h"

namespace leat::proxy {
namespace {

uint64_t hash_of_address(const IpAddress& address) { return hash_of(address.wire()); }

std::string_view without_blanks(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// A session's cookie ends with the browser; any other after its time to live.
std::string new_cookie(const Policy::Hash& hash, std::string_view value) {
  std::string cookie = fmt::format("{}=\"{}\"", hash.name, value);
  if (hash.cookie_ttl)
    cookie += fmt::format("; Max-Age={}", std::chrono::ceil<std::chrono::seconds>(*hash.cookie_ttl).count());
  if (!hash.cookie_path.empty()) cookie += "; Path=" + hash.cookie_path;
  return cookie + "; HttpOnly";
}

HashKey by_cookie(const Policy::Hash& hash, const route::Headers& headers, uint64_t random) {
  std::string joined;
  const auto header = headers("cookie", joined);
  const auto value = header ? cookie_value(*header, hash.name) : std::nullopt;
  if (value) return {.hash = hash_of(*value)};
  if (!hash.makes_cookie) return {};
  const std::string made = fmt::format("{:016x}", random);
  return {.hash = hash_of(made), .set_cookie = new_cookie(hash, made)};
}

}  // namespace

std::optional<std::string_view> cookie_value(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    // Several Cookie fields, as HTTP/2 may have them, were joined by a comma.
    const size_t end = std::min(header.find_first_of(";,"), header.size());
    const std::string_view pair = without_blanks(header.substr(0, end));
    header.remove_prefix(std::min(end + 1, header.size()));
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    std::string_view value = pair.substr(equals + 1);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    return value;
  }
  return std::nullopt;
}

HashKey hash_key(const Policy& policy, const route::Headers& headers, std::string_view query, const IpAddress& source,
                 uint64_t random) {
  using Key = Policy::Hash::Key;
  if (!policy.hash) return {};
  const Policy::Hash& hash = *policy.hash;
  const auto of = [](const std::optional<std::string_view>& value) {
    return HashKey{.hash = value ? std::optional(hash_of(*value)) : std::nullopt};
  };
  std::string joined;
  switch (hash.key) {
    case Key::kHeader:
      return of(headers(hash.name, joined));
    case Key::kQueryParam:
      return of(route::query_param(query, hash.name));
    case Key::kCookie:
      return by_cookie(hash, headers, random);
    case Key::kSourceAddress:
      break;
  }
  return {.hash = hash_of_address(source)};
}

std::optional<uint64_t> hash_key(const Policy& policy, const IpAddress& source) {
  if (!policy.hash || policy.hash->key != Policy::Hash::Key::kSourceAddress) return std::nullopt;
  return hash_of_address(source);
}

}  // namespace leat::proxy
