// One end of an HTTP/2 connection whose streams are CONNECT tunnels (HBONE), without a socket: what CONNECT's headers
// mean, over http2/session.h.
#pragma once

#include <string_view>

#include "userspace-proxy/hbone/limits.h"
#include "userspace-proxy/hbone/stream.h"
#include "userspace-proxy/http2/session.h"

namespace leat::hbone {

using http2::Breach;
using http2::Clock;
using http2::Counters;
using http2::name;

class Session final : public http2::Session {
 public:
  // As http2::Session's.
  Session(Role role, ring::BufferPool& pool, Counters& counters, Clock::time_point now);

  [[nodiscard]] bool next_event(Event& event);

  // Client: a new stream; can_open() must hold. Bytes sent before kAccepted wait here, but for `early`: those leave
  // with the request (RFC 9113, section 8.5 lets a client not wait), so the peer may have acted on them whatever it
  // answers but a refusal.
  Stream& open(const ConnectRequest& request, ring::Chain early = {});
  // Server: answers kConnect with 200.
  void accept(Stream& stream, std::string_view baggage);
  // Server: answers kConnect with a status as wire peers read it (400, 401, 503) and a token for the peer's operator
  // ("no-endpoint"). Nothing follows: release the stream.
  void refuse(Stream& stream, uint16_t status, std::string_view reason);

 private:
  http2::Stream* make_stream() override;
  void header(http2::Stream& of, std::string_view name, std::string_view value) override;
  bool head_is_whole(http2::Stream& of, bool too_large, bool end) override;
  void request_is_whole(Stream& stream);
};

}  // namespace leat::hbone
