// The decisions of a handshake: which peer is believed, which protocol is spoken. OpenSSL asks, while a Handshake is
// attached to its SSL.
#pragma once

#include <vector>

#include "common/openssl.h"
#include "common/spiffe.h"
#include "userspace-proxy/tls/failure.h"
#include "userspace-proxy/tls/identity.h"
#include "userspace-proxy/tls/trust.h"

namespace leat::tls {

// Attached to one SSL until its handshake is through.
struct Handshake {
  const TrustBundle* trust;
  std::vector<SpiffeId> expected;  // dialling side: one of these; accepting side: empty, anybody of the trust domain
  bool is_server;

  PeerCertificate peer;  // the outcome, where `failure` is kNone
  Failure failure;
};

// Once for each SSL_CTX: certificates by TrustBundle::verify and `expected`, ALPN exactly "h2", a peer's certificate
// required.
Result<void> install_handshake_callbacks(SSL_CTX* context);
void attach(SSL* ssl, Handshake* handshake);

}  // namespace leat::tls
