// Why a flow ended or was refused: one value to count, one sentence for a person, and the cure where there is one.
#pragma once

#include <cstdint>
#include <string_view>

namespace leat::proxy {

enum class Reason : uint8_t {
  kNone,
  // outbound
  kNotAnAlias,    // a pod connected to the listener's own address, or to an id that nobody was given
  kTargetGone,    // the alias is known, what it stood for has left the model
  kNoSuchPort,    // the service does not declare the port
  kReservedPort,  // 15008 of a pod
  kNoEndpoint,    // the service has no ready endpoint
  kRefused,       // ECONNREFUSED from the endpoint
  kUnreachable,   // another errno of connect()
  kConnectTimeout,
  kNoBroker,       // the agent gave no socket in time
  kNoCertificate,  // the CA gave none in time
  kTlsFailed,
  kUnexpectedIdentity,  // the peer proved to be somebody else
  kTunnelBroken,
  kDeniedByPeer,      // CONNECT answered 401
  kRefusedByPeer,     // 503: the peer could not reach its application
  kBadRequestByPeer,  // 400
  kMutualTlsOnly,     // the policy asks for mutual TLS, and the endpoint is outside the mesh
  kServerUntrusted,   // TLS that we started: nobody whom the policy believes vouches for the server
  kServerExpired,     // … its certificate is outside its time
  kServerName,        // … it proves to be somebody else
  kServerTlsFailed,   // … anything else
  kOwnCredentials,    // … the policy's own certificates can't be had
  kConnectionLimit,   // the policy's maxConnections
  kPendingLimit,      // … http1MaxPendingRequests
  kRequestLimit,      // … http2MaxRequests
  // outbound, HTTP
  kNoRoute,          // routes hold for this client, and none matches
  kNoRouteTarget,    // the route's destination names no Service
  kNoSubset,         // … or a subset that its Service does not have
  kInvalidBackend,   // … or what a Gateway API route must not or can't lead to
  kBadRequest,       // what the client sent is no valid request
  kRequestTimeout,   // a head that did not arrive in time
  kConnectMethod,    // CONNECT
  kNotHttp2,         // the endpoint speaks HTTP/1.1 only, or is to be spoken to so, and the request needs HTTP/2
  kServerClosed,     // the upstream ended before its response did
  kResponseTimeout,  // of the route
  kTryTimeout,       // of one try
  kBadResponse,      // what the upstream sent is no valid response
  kFaultAbort,       // the route's fault
  kRewriteTooLong,   // the route makes a path that no server takes
  // inbound
  kHandshakeTimeout,
  kPodLimit,         // this pod has as many connections, or handshakes under way, as one pod may have
  kUntrustedPeer,    // no certificate, wrong trust domain, expired …
  kProtocolBreach,   // bytes that are not HBONE, or too many of a kind
  kWrongAuthority,   // CONNECT to an address that is not this pod's
  kPlaintextDenied,  // STRICT
  kNoSourceId,
  // relay
  kClientReset,
  kServerReset,
  kDrainDeadline,
  kIdleTimeout,         // the policy's
  kConnectionDuration,  // the policy's maxConnectionDuration
  kCount,
};

std::string_view name(Reason reason);      // a label: "no-endpoint"
std::string_view sentence(Reason reason);  // empty for kNone
std::string_view cure(Reason reason);      // empty where nothing is to be done

}  // namespace leat::proxy
