// One CONNECT, as the owner of a Session sees it, and what happens to it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/ip.h"
#include "userspace-proxy/http2/stream.h"

namespace leat::hbone {

using http2::EventKind;
using http2::ResetCode;

// What a CONNECT says. As a client, `authority` and any others that are not empty are sent, in this order; as a server,
// what the peer sent (untrusted, bounded by limits::kMaxHeaderValueBytes).
struct ConnectRequest {
  SocketAddress authority;
  std::string baggage;
  std::string forwarded;
  std::string traceparent;
};

class Stream final : public http2::Stream {
 public:
  // Server: from kConnect until accept() or refuse().
  [[nodiscard]] const ConnectRequest& request() const;
  // Client, after kRefused: why (the peer's `leat-reason`; empty if it is not Leat).
  [[nodiscard]] std::string_view refusal_reason() const;

 private:
  friend class Session;

  // Of interest only at a stream's beginning, so that an open stream does not carry it.
  struct Headers {
    ConnectRequest request;
    std::string reason;
    bool is_connect = false;
    bool has_authority = false;
    bool too_large = false;
  };

  Stream() = default;

  std::unique_ptr<Headers> headers_;
  uint16_t status_ = 0;  // of the answer; 0: none yet
};

using Event = http2::EventOf<Stream>;

}  // namespace leat::hbone
