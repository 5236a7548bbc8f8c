// Who we are: a workload's key, made here and never leaving the process, and what is built from it once a CA has signed
// it.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "common/openssl.h"
#include "common/result.h"
#include "common/spiffe.h"
#include "userspace-proxy/tls/identity.h"
#include "userspace-proxy/tls/trust.h"

namespace leat::tls {

// An ECDSA P-256 key. Copies share the key.
class KeyPair {
 public:
  static Result<KeyPair> generate();
  KeyPair(const KeyPair& other);
  KeyPair(KeyPair&&) noexcept = default;
  KeyPair& operator=(KeyPair) noexcept;
  ~KeyPair() = default;

  // A PKCS#10 request in DER, signed by the key, with an empty subject: the CA decides every name.
  [[nodiscard]] Result<std::string> signing_request() const;
  [[nodiscard]] EVP_PKEY* get() const { return key_.get(); }

 private:
  explicit KeyPair(ssl::Key key) : key_(std::move(key)) {}
  ssl::Key key_;
};

class Credentials;
using CredentialsPtr = std::shared_ptr<const Credentials>;

// One identity's TLS settings for both roles. Immutable and shared between threads: renewal makes new Credentials and
// swaps the pointer, connections keep what they began with. Building takes about 2 ms: do it off the event loop.
class Credentials {
 public:
  // `chain_der` has the leaf first and no root. Fails (kInvalid) if the leaf does not belong to `key`, is no SPIFFE
  // certificate or is of another trust domain than `trust`.
  static Result<CredentialsPtr> make(KeyPair key, std::span<const std::string> chain_der,
                                     std::shared_ptr<const TrustBundle> trust);

  [[nodiscard]] const PeerCertificate& own() const { return own_; }
  [[nodiscard]] const TrustBundle& trust() const { return *trust_; }
  [[nodiscard]] SSL_CTX* client() const { return client_.get(); }
  [[nodiscard]] SSL_CTX* server() const { return server_.get(); }

 private:
  Credentials() = default;
  PeerCertificate own_;
  std::shared_ptr<const TrustBundle> trust_;
  ssl::Context client_;
  ssl::Context server_;
};

}  // namespace leat::tls
