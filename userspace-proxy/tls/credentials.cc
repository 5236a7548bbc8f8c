#include "userspace-proxy/tls/credentials.h"

#include <vector>

#include "userspace-proxy/tls/handshake.h"

namespace leat::tls {

Result<KeyPair> KeyPair::generate() {
  ssl::Key key(EVP_EC_gen("P-256"));
  if (!key) return fail(ErrorCode::kSystem, "no P-256 key could be made: {}", ssl::take_error());
  return KeyPair(std::move(key));
}

KeyPair::KeyPair(const KeyPair& other) : key_(other.key_.get()) { EVP_PKEY_up_ref(key_.get()); }

KeyPair& KeyPair::operator=(KeyPair other) noexcept {
  key_.swap(other.key_);
  return *this;
}

Result<std::string> KeyPair::signing_request() const {
  const ssl::Request request(X509_REQ_new());
  if (!request || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key_.get()) != 1 ||
      X509_REQ_sign(request.get(), key_.get(), EVP_sha256()) <= 0) {
    return fail(ErrorCode::kSystem, "no certificate request could be made: {}", ssl::take_error());
  }
  return ssl::to_der(i2d_X509_REQ, request.get());
}

namespace {

Result<ssl::Context> make_context(const SSL_METHOD* method, const KeyPair& key, std::span<const ssl::Certificate> chain,
                                  const TrustBundle& trust) {
  ssl::Context context(SSL_CTX_new(method));
  if (!context) return fail(ErrorCode::kSystem, "no TLS context: {}", ssl::take_error());
  SSL_CTX* raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION);
  SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION);
  // Full handshakes only: a tunnel lives long, a ticket costs 150 us, and a resumed peer would keep an old verdict.
  SSL_CTX_set_num_tickets(raw, 0);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_clear_options(raw, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);  // no middlebox understands TLS between two pods
  // Idle tunnels are many: OpenSSL's 2 x 17 KB of record buffers go back between records.
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_max_cert_list(raw, 16 * 1024);  // a stranger's chain
  SSL_CTX_set_cert_store(raw, trust.store());
  X509_STORE_up_ref(trust.store());
  bool set = SSL_CTX_set_ciphersuites(raw, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256") == 1 &&
             SSL_CTX_set1_groups_list(raw, "X25519:P-256") == 1 && SSL_CTX_use_certificate(raw, chain[0].get()) == 1 &&
             SSL_CTX_use_PrivateKey(raw, key.get()) == 1 && SSL_CTX_check_private_key(raw) == 1;
  for (size_t i = 1; set && i < chain.size(); ++i) set = SSL_CTX_add1_chain_cert(raw, chain[i].get()) == 1;
  if (!set)
    return fail(ErrorCode::kInvalid, "the key and certificate do not make TLS credentials: {}", ssl::take_error());
  LEAT_TRY_VOID(install_handshake_callbacks(raw));
  return context;
}

}  // namespace

Result<CredentialsPtr> Credentials::make(KeyPair key, std::span<const std::string> chain_der,
                                         std::shared_ptr<const TrustBundle> trust) {
  if (chain_der.empty()) return fail(ErrorCode::kInvalid, "credentials: the chain is empty");
  std::vector<ssl::Certificate> chain;
  for (size_t i = 0; i < chain_der.size(); ++i) {
    chain.push_back(ssl::certificate_from_der(chain_der[i]));
    if (!chain.back()) return fail(ErrorCode::kInvalid, "credentials: certificate {} of the chain is not DER", i);
  }
  auto own = read_certificate(chain[0].get());
  if (!own)
    return fail(ErrorCode::kInvalid, "credentials: our own leaf is no workload certificate: {}", own.error().message);
  if (own->identity.trust_domain != trust->trust_domain()) {
    return fail(ErrorCode::kInvalid, "credentials: {} is not of the trust domain {}", own->identity.text(),
                trust->trust_domain());
  }
  const std::shared_ptr<Credentials> made(new Credentials);
  LEAT_TRY(made->client_, make_context(TLS_client_method(), key, chain, *trust));
  LEAT_TRY(made->server_, make_context(TLS_server_method(), key, chain, *trust));
  made->own_ = std::move(*own);
  made->trust_ = std::move(trust);
  return made;
}

}  // namespace leat::tls
