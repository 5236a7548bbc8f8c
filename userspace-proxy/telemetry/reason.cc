#include "userspace-proxy/telemetry/reason.h"

#include <array>

namespace leat::proxy {
namespace {

struct Text {
  std::string_view name;
  std::string_view sentence;
  std::string_view cure;
};

// In the order of Reason.
constexpr std::array<Text, static_cast<size_t>(Reason::kCount)> kTexts{{
    {"none", "", ""},
    {"not-an-alias", "the address that the application connected to stands for no destination of the mesh", ""},
    {"target-gone", "the destination has left the mesh since the application connected", ""},
    {"no-such-port", "the service does not declare this port", "declare the port in the Service"},
    {"reserved-port", "port 15008 of a pod is the mesh's own", ""},
    {"no-endpoint", "the service has no ready endpoint", "look at the readiness of the service's pods"},
    {"refused", "the endpoint refused the connection", "is the application listening on this port?"},
    {"unreachable", "the endpoint can't be reached", ""},
    {"connect-timeout", "the endpoint did not answer within the connect timeout",
     "does a NetworkPolicy block it? Tunnels arrive on port 15008"},
    {"no-broker", "the agent gave no socket within the connect timeout", "is leat-agent running on this node?"},
    {"no-certificate", "the pod has no certificate yet", "see `leat certs` for the CA's answer"},
    {"tls-failed", "the TLS handshake failed", ""},
    {"unexpected-identity", "the peer proved an identity that is not the destination's",
     "does another pod use this address?"},
    {"tunnel-broken", "the tunnel broke before the connection was made", ""},
    {"denied-by-peer", "the destination's policy denied the connection", ""},
    {"refused-by-peer", "the destination's node could not reach the application",
     "is the application listening on this port?"},
    {"bad-request-by-peer", "the destination's node did not accept the request", ""},
    {"mutual-tls-only", "a DestinationRule asks for mutual TLS, and the endpoint is outside the mesh",
     "enrol its pod, or leave tls out of the DestinationRule"},
    {"server-untrusted", "the server's certificate is of no authority that the DestinationRule believes",
     "see caCertificates of the DestinationRule's tls; the proxy's log has the details"},
    {"server-expired", "the server's certificate is past its time, or before it", "renew the server's certificate"},
    {"server-name", "the server's certificate is for other names than the DestinationRule expects",
     "see sni and subjectAltNames of the DestinationRule's tls"},
    {"server-tls-failed", "the TLS handshake with the server failed", "the proxy's log has the details"},
    {"own-credentials", "the certificates or the key that the DestinationRule names can't be used",
     "see `leat lint` and the proxy's log"},
    {"connection-limit", "the service has as many connections as its DestinationRule allows",
     "see maxConnections of the DestinationRule"},
    {"pending-limit", "as many requests wait for a connection as the service's DestinationRule allows",
     "see http1MaxPendingRequests of the DestinationRule"},
    {"request-limit", "the service has as many requests at once as its DestinationRule allows",
     "see http2MaxRequests of the DestinationRule"},
    {"no-route", "no route of the service matches the request", "see `leat routes` for those that hold"},
    {"no-route-target", "the route leads to a host that is no Service", "correct the host in the route's destination"},
    {"no-subset", "the route leads to a subset that the service does not have",
     "define the subset in a DestinationRule"},
    {"invalid-backend", "the route leads to a backend that it can't use", "see `leat routes --status` for the reason"},
    {"bad-request", "the client sent what is no valid HTTP request", ""},
    {"request-timeout", "the request's head did not arrive in time", ""},
    {"connect-method", "CONNECT is for forward proxies", "connect to the destination itself"},
    {"not-http2", "the request needs HTTP/2, as each gRPC call does, and the endpoint speaks HTTP/1.1",
     "is this the port of a gRPC server? See h2UpgradePolicy and useClientProtocol of the DestinationRule"},
    {"server-closed", "the server ended the connection before its response was whole", ""},
    {"response-timeout", "the response took longer than the route's timeout", ""},
    {"try-timeout", "the server did not begin its response within the time of a try", ""},
    {"bad-response", "the server sent what is no valid HTTP response", ""},
    {"fault-abort", "the route aborts this request, as its fault asks for", "see `leat routes` for the route"},
    {"rewrite-too-long", "the path that the route writes is longer than a server takes",
     "correct the rewrite of the route"},
    {"handshake-timeout", "the peer did not finish its handshake in time", ""},
    {"pod-limit", "the pod has as many connections or handshakes as one pod may have", ""},
    {"untrusted-peer", "the peer's certificate was not accepted", ""},
    {"protocol-breach", "the peer broke the protocol", ""},
    {"wrong-authority", "the peer asked for an address that is not this pod's", ""},
    {"plaintext-denied", "the pod accepts mutual TLS only (STRICT)",
     "enrol the client, or make the PeerAuthentication PERMISSIVE"},
    {"no-source-id", "the agent gave no id for the client's address in time", "is leat-agent running on this node?"},
    {"client-reset", "the client reset the connection", ""},
    {"server-reset", "the server reset the connection", ""},
    {"drain-deadline", "the proxy was replaced and the connection outlived the drain deadline", ""},
    {"idle-timeout", "no byte passed for as long as the DestinationRule's idleTimeout", ""},
    {"connection-duration", "the connection lasted as long as the DestinationRule's maxConnectionDuration allows", ""},
}};

const Text& text_of(Reason reason) { return kTexts[static_cast<size_t>(reason)]; }

}  // namespace

std::string_view name(Reason reason) { return text_of(reason).name; }
std::string_view sentence(Reason reason) { return text_of(reason).sentence; }
std::string_view cure(Reason reason) { return text_of(reason).cure; }

}  // namespace leat::proxy
