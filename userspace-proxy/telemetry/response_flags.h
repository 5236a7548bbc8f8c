// Envoy's words for what went wrong with a request, as Istio's metrics and access logs have them.
#pragma once

#include <cstdint>
#include <string>

namespace leat::proxy {

enum class ResponseFlag : uint16_t {
  kNone = 0,                    // -: the upstream's own answer was delivered whole
  kDownstreamClosed = 1 << 0,   // DC: the client left before the response was whole
  kNoHealthyUpstream = 1 << 1,  // UH: no ready endpoint, or no such subset
  kConnectFailure = 1 << 2,     // UF: no endpoint could be connected
  kUpstreamClosed = 1 << 3,     // UC: the upstream ended before the response did
  kTimeout = 1 << 4,            // UT: the response took longer than the route or a try may
  kOverflow = 1 << 5,           // UO: a limit or the retry budget was used up
  kRetriesExhausted = 1 << 6,   // URX: it was tried as often as the policy says
  kNoRoute = 1 << 7,            // NR: no route matched
  kBadRequest = 1 << 8,         // DPE: what the client sent is no valid request
  kFaultInjected = 1 << 9,      // FI: the route's fault aborted it
  kDelayInjected = 1 << 10,     // DI: the route's fault delayed it
};

// Several of them.
class ResponseFlags {
 public:
  constexpr ResponseFlags(ResponseFlag flag = ResponseFlag::kNone)  // NOLINT(google-explicit-constructor)
      : bits_(static_cast<uint16_t>(flag)) {}
  constexpr ResponseFlags& operator|=(ResponseFlags more) {
    bits_ |= more.bits_;
    return *this;
  }
  [[nodiscard]] constexpr bool has(ResponseFlag flag) const { return (bits_ & static_cast<uint16_t>(flag)) != 0; }
  [[nodiscard]] constexpr uint16_t bits() const { return bits_; }
  auto operator<=>(const ResponseFlags&) const = default;

 private:
  uint16_t bits_;
};

std::string words(ResponseFlags flags);  // "UF,URX"; "-" for none

}  // namespace leat::proxy
