// Whom we believe: the roots of one trust domain, and the verdicts already reached with them. A changed set of roots is
// a new TrustBundle, so that an old verdict can never outlive its roots.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>

#include "common/openssl.h"
#include "common/result.h"
#include "userspace-proxy/tls/failure.h"
#include "userspace-proxy/tls/identity.h"

namespace leat::tls {

// Immutable but for its cache; may be shared between threads.
class TrustBundle {
 public:
  static constexpr size_t kMaxRoots = 64;

  // Fails (kInvalid) if there is no root, or one that is not a CA's certificate.
  static Result<std::shared_ptr<const TrustBundle>> make(std::string trust_domain,
                                                         std::span<const std::string> roots_der);

  // Verifies the chain that `context` describes (as OpenSSL's certificate callback hands it over) and the leaf's
  // identity. ECDSA is done once a leaf: the verdict is kept under SHA-256 of the leaf until the first certificate of
  // its chain expires.
  std::expected<PeerCertificate, Failure> verify(X509_STORE_CTX* context) const;

  [[nodiscard]] const std::string& trust_domain() const { return trust_domain_; }
  [[nodiscard]] X509_STORE* store() const { return store_.get(); }

 private:
  using Fingerprint = std::array<uint8_t, 32>;
  struct FingerprintHash {
    size_t operator()(const Fingerprint& fingerprint) const;
  };
  struct Verdict {
    PeerCertificate peer;
    int64_t valid_until_unix = 0;
  };

  TrustBundle(std::string trust_domain, ssl::Store store)
      : trust_domain_(std::move(trust_domain)), store_(std::move(store)) {}
  std::expected<Verdict, Failure> verify_uncached(X509_STORE_CTX* context) const;

  std::string trust_domain_;
  ssl::Store store_;
  mutable std::mutex mutex_;  // handshakes only, never bytes
  mutable std::unordered_map<Fingerprint, Verdict, FingerprintHash> verdicts_;
};

}  // namespace leat::tls
