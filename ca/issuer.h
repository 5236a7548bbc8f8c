// ca/: issuing certificates. From the bottom up:
//
//   issuer.h          keys and certificates: a root, a leaf for an identity, a server's own
//   roots.h           the roots of a cluster's mesh, and how one follows another
//   caller.h          who asks, and whether that node may have that identity
//   cluster.h         Secret, ConfigMap, Lease, TokenReview: talk with the API server; which replica leads is decided
//   in
//                     common/kubernetes/lease_book.h
//   root_keeper.h     makes, rotates and publishes roots           signing.h      one request, from token to answer
//   grpc_server.h     istio.v1.auth.IstioCertificateService        status_server.h  health and metrics
//
// issuer.h is also the agent's, whose built-in CA (agent/ca/) signs with it; all else is the program leat-ca. Pure
// functions decide (roots, caller); the others ask and tell.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "common/openssl.h"
#include "common/result.h"
#include "common/spiffe.h"

namespace leat::ca {

inline constexpr std::chrono::seconds kMaxLifetime = std::chrono::hours(24);
// Clocks of nodes differ: a certificate is valid from a little before it was asked for.
inline constexpr std::chrono::seconds kBackdate = std::chrono::minutes(5);
inline constexpr std::chrono::hours kRootLifetime{24 * 365 * 10};
inline constexpr size_t kMaxRequestBytes = 8192;  // a P-256 request is under 300

// PEM and DER. All certificates of a text, in order; kInvalid if there is none, or something between them is none.
Result<std::vector<std::string>> certificates_from_pem(std::string_view pem);
std::string pem_of_certificate(std::string_view der);
// One certificate request of a text.
Result<std::string> request_from_pem(std::string_view pem);

// The public key of a request: PKCS#10 in DER, ECDSA P-256, signed by that very key. Nothing else of it is looked at:
// what its owner would like to be called counts for nothing.
Result<ssl::Key> proven_key(std::string_view request_der);

// A key that may sign, and its certificate. Immutable; any thread.
class Issuer {
 public:
  // A new root for `trust_domain`, which is its organisation. `lifetime` from now on.
  static Result<Issuer> make_root(std::string_view trust_domain, std::chrono::seconds lifetime = kRootLifetime);
  // `chain_pem`: the issuer's own certificate first, then those that lead to the root, without it or with it. Fails if
  // key and certificate do not belong together, the certificate may not sign, or is expired.
  static Result<Issuer> load(std::string_view key_pem, std::string_view chain_pem);

  // A leaf for `identity` in DER. The request is as proven_key() wants it; kInvalid otherwise, or if `lifetime` is not
  // in (0, kMaxLifetime]. It never outlives the issuer.
  Result<std::string> sign(std::string_view request_der, const SpiffeId& identity, std::chrono::seconds lifetime) const;

  struct Server {
    std::string key_pem;
    std::string chain_pem;
  };
  // For a TLS server of these DNS names and IP addresses, with a key of its own.
  Result<Server> make_server(const std::vector<std::string>& names, std::chrono::seconds lifetime) const;

  [[nodiscard]] std::string key_pem() const;
  [[nodiscard]] std::string certificate_der() const;
  [[nodiscard]] std::string certificate_pem() const { return pem_of_certificate(certificate_der()); }
  // What a peer needs beside a leaf to get to the root, DER; empty where this is a root itself.
  [[nodiscard]] const std::vector<std::string>& intermediates() const { return intermediates_; }
  [[nodiscard]] std::string organisation() const;  // of the subject; empty where it has none
  [[nodiscard]] std::chrono::system_clock::time_point not_before() const;
  [[nodiscard]] std::chrono::system_clock::time_point not_after() const;

 private:
  Issuer(ssl::Key key, ssl::Certificate certificate) : key_(std::move(key)), certificate_(std::move(certificate)) {}
  Result<ssl::Certificate> begin(EVP_PKEY* key, std::chrono::seconds lifetime) const;

  ssl::Key key_;
  ssl::Certificate certificate_;
  std::vector<std::string> intermediates_;
};

}  // namespace leat::ca
