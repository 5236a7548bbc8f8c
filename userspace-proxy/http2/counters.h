// What sessions count, a worker: sums for metrics, and what peers did wrong.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace leat::http2 {

// Why a peer was refused or a session ended.
enum class Breach : uint8_t {
  kNotHttp2,    // HTTP/1.1, or garbage, where the connection preface belongs
  kProtocol,    // another violation of RFC 9113, found by the codec
  kHeaderList,  // a header list, or a header that we use, is too large
  kMalformed,   // a message that RFC 9113 calls malformed, found by the codec: a stream's end
  kNotConnect,  // HBONE: a method other than CONNECT
  kAuthority,   // HBONE: no address and port in :authority
  kRapidReset,  // streams reset before they were answered (CVE-2023-44487)
  kSettingsFlood,
  kControlFlood,  // PING, PRIORITY
  kEmptyDataFlood,
  kContinuationFlood,  // CVE-2024-28182
  kTooManyStreams,     // more at once than were offered
  kBadRequestFlood,
  kPingTimeout,  // did not answer
  kCount,
};
std::string_view name(Breach breach);  // a label for metrics: "rapid_reset"

// Plain numbers of one worker; they outlive its sessions.
struct Counters {
  uint64_t streams_opened = 0;    // by us as the client
  uint64_t streams_accepted = 0;  // by us as the server
  uint64_t streams_refused = 0;   // by us as the server
  uint64_t resets_received = 0;
  uint64_t resets_sent = 0;
  std::array<uint64_t, static_cast<size_t>(Breach::kCount)> breaches{};
};

}  // namespace leat::http2
