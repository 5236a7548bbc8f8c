#include "userspace-proxy/tls/handshake.h"

#include <algorithm>

namespace leat::tls {
namespace {

constexpr unsigned char kAlpn[] = {2, 'h', '2'};

Handshake* attached(SSL* ssl) { return static_cast<Handshake*>(SSL_get_app_data(ssl)); }

std::string joined(const std::vector<SpiffeId>& ids) {
  std::string text;
  for (const SpiffeId& id : ids) text += (text.empty() ? "" : " or ") + id.text();
  return text;
}

// The alert that tells the peer what was wrong with it follows from this code.
int alert_for(FailureKind kind) {
  switch (kind) {
    case FailureKind::kExpired:
      return X509_V_ERR_CERT_HAS_EXPIRED;
    case FailureKind::kNotYetValid:
      return X509_V_ERR_CERT_NOT_YET_VALID;
    case FailureKind::kUnknownIssuer:
      return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
    default:
      return X509_V_ERR_CERT_REJECTED;
  }
}

int verify_peer(X509_STORE_CTX* context, void*) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  Handshake& handshake = *attached(ssl);
  auto peer = handshake.trust->verify(context);
  if (peer && !handshake.is_server &&
      std::ranges::find(handshake.expected, peer->identity) == handshake.expected.end()) {
    peer = std::unexpected(
        Failure{FailureKind::kUnexpectedIdentity, 0,
                fmt::format("the peer is {}, not {}", peer->identity.text(), joined(handshake.expected))});
  }
  if (peer) {
    handshake.peer = std::move(*peer);
    X509_STORE_CTX_set_error(context, X509_V_OK);
    return 1;
  }
  handshake.failure = std::move(peer.error());
  X509_STORE_CTX_set_error(context, alert_for(handshake.failure.kind));
  return 0;
}

int refuse_protocol(SSL* ssl) {
  attached(ssl)->failure = {FailureKind::kNoAlpn, 0, "the client does not offer ALPN h2: it is not an HBONE peer"};
  return 0;
}

// A client without the extension would otherwise be served: the ALPN callback is asked only where there is one.
int require_alpn(SSL* ssl, int* alert, void*) {
  const unsigned char* extension = nullptr;
  size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &extension, &size) == 1)
    return SSL_CLIENT_HELLO_SUCCESS;
  *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
  refuse_protocol(ssl);
  return SSL_CLIENT_HELLO_ERROR;
}

int choose_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                unsigned offered_size, void*) {
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kAlpn, sizeof kAlpn, offered, offered_size) == OPENSSL_NPN_NEGOTIATED) {
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
  }
  refuse_protocol(ssl);
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

Result<void> install_handshake_callbacks(SSL_CTX* context) {
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(context, verify_peer, nullptr);
  SSL_CTX_set_client_hello_cb(context, require_alpn, nullptr);
  SSL_CTX_set_alpn_select_cb(context, choose_alpn, nullptr);
  if (SSL_CTX_set_alpn_protos(context, kAlpn, sizeof kAlpn) != 0)
    return fail(ErrorCode::kSystem, "ALPN can't be set: {}", ssl::take_error());
  return {};
}

void attach(SSL* ssl, Handshake* handshake) { SSL_set_app_data(ssl, handshake); }

}  // namespace leat::tls
