// What a client speaks, by the first bytes that it sends.
#pragma once

#include <cstdint>

#include "userspace-proxy/flow/any_stream.h"
#include "userspace-proxy/flow/read_ahead.h"
#include "userspace-proxy/ring/task.h"

namespace leat::proxy {

using HttpClient = ReadAhead<AnyStream>;

enum class FirstBytes : uint8_t {
  kUndecided,  // more are needed
  kHttp1,      // a method and a space: the codec has the last word
  kHttp2,      // its preface
  kTls,        // a handshake record
  kOpaque,     // anything else
};

// Pure; a method's length of them is looked at.
FirstBytes look_at(const ring::Chain& bytes);

// Reads until the first bytes decide, and gives them back. Opaque if `deadline` comes before (a client that is silent
// may wait for its server to speak first; max(): it may be silent for ever), or the client's end.
ring::Task<FirstBytes> classify(ring::Loop& loop, HttpClient& client, ring::Clock::time_point deadline);

}  // namespace leat::proxy
