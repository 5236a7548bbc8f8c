// What of a request or connection is hashed, as its policy says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/ip.h"
#include "userspace-proxy/mesh/policy.h"
#include "userspace-proxy/route/request.h"

namespace leat::proxy {

struct HashKey {
  std::optional<uint64_t> hash;  // nothing: the policy hashes nothing, or the request lacks it
  std::string set_cookie;        // the cookie that the response has to set; empty: none
};

// Of an HTTP request from `source`. `random` is uniform over all 64 bits: a new cookie's value.
HashKey hash_key(const Policy& policy, const route::Headers& headers, std::string_view query, const IpAddress& source,
                 uint64_t random);
// Of a connection whose bytes nobody looks at.
std::optional<uint64_t> hash_key(const Policy& policy, const IpAddress& source);

// The value of the cookie of that name in a Cookie header.
std::optional<std::string_view> cookie_value(std::string_view header, std::string_view name);

}  // namespace leat::proxy
