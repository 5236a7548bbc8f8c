#include "userspace-proxy/flow/connect.h"

namespace leat::proxy {

bool is_endpoints_fault(Reason reason) {
  switch (reason) {
    case Reason::kRefused:
    case Reason::kUnreachable:
    case Reason::kConnectTimeout:
    case Reason::kTlsFailed:
    case Reason::kUntrustedPeer:
    case Reason::kUnexpectedIdentity:
    case Reason::kHandshakeTimeout:
    case Reason::kProtocolBreach:
    case Reason::kTunnelBroken:
    case Reason::kRefusedByPeer:
    case Reason::kMutualTlsOnly:
    case Reason::kServerClosed:  // before it had said that it speaks HTTP/2
    case Reason::kServerUntrusted:
    case Reason::kServerExpired:
    case Reason::kServerName:
    case Reason::kServerTlsFailed:
      return true;
    default:
      return false;
  }
}

}  // namespace leat::proxy
