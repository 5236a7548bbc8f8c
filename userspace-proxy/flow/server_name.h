// The name that a client of TLS asks for.
#pragma once

#include <cstdint>
#include <string>

#include "userspace-proxy/flow/classify.h"

namespace leat::proxy {

// What became of the hellos that were waited for.
struct HelloCounters {
  uint64_t named = 0;
  uint64_t unnamed = 0;    // a hello without a name
  uint64_t not_tls = 0;    // malformed, or something else
  uint64_t too_large = 0;  // tls::kMaxClientHelloBytes
  uint64_t late = 0;       // limits::kDetectTimeout
};

// Reads until the ClientHello is whole and gives all bytes back. Empty: it has no name, or it is none, or it did not
// come whole in time, which is counted; such a connection goes the way of one without a name.
ring::Task<std::string> read_server_name(ring::Loop& loop, HttpClient& client, ring::Clock::time_point deadline,
                                         HelloCounters& counters);

}  // namespace leat::proxy
