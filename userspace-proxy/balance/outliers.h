// Outlier detection: endpoints that fail again and again are left out for a while, longer each time. What is known of
// an endpoint is shared by all workers (mesh/live.h).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "userspace-proxy/limits.h"
#include "userspace-proxy/mesh/mesh.h"

namespace leat::proxy {

// What an endpoint did.
enum class Conduct : uint8_t {
  kGood,          // it answered, and with no 5xx; or a connection ended as it should
  kServerError,   // another 5xx
  kGatewayError,  // 502, 503, 504
  kConnected,     // a connection was made; says nothing of how it serves
  kLocalFailure,  // it could not be connected to, or ended a connection without an answer
};
// Of an HTTP answer; 0: none. `error_codes`: ascending, what is an error in place of 5xx; none: 5xx is.
Conduct conduct_of(uint16_t code, std::span<const uint16_t> error_codes = {});

struct Ejection {
  const Service& service;
  const Service::Port& port;
  const Backend& backend;
  std::string_view cause;
  uint32_t failures;  // in a row
  std::chrono::milliseconds lasts;
};

// Counts it; what was ejected because of it, if anything. `backend` is one of `port`, whose policy detects outliers.
std::optional<Ejection> note(const Service& service, const Service::Port& port, const Backend& backend, Conduct conduct,
                             Clock::time_point now);

inline bool is_ejected(const Backend& backend, Clock::time_point now) {
  return backend.health && now < backend.health->state.out_until.get();
}

}  // namespace leat::proxy
