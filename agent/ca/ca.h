// The built-in certificate authority of a mesh without Kubernetes: one root key in a folder that the nodes share. It
// decides every name itself; of a request it takes the public key alone (ca/issuer.h). One thread owns a
// CertificateAuthority; several processes may share the folder.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "ca/issuer.h"
#include "common/result.h"
#include "common/spiffe.h"

namespace leat::ca {

class CertificateAuthority {
 public:
  // Reads root.key and root.pem from `folder` (made if missing, mode 0700). The first process makes them, under a file
  // lock; the key is 0600 and never half-written. Fails if the two do not belong together, or the root is of another
  // trust domain or expired.
  static Result<CertificateAuthority> open(const std::string& folder, std::string_view trust_domain);

  // A leaf for `identity` in DER. The request must be PKCS#10 in DER with an ECDSA P-256 key, signed by it; kInvalid
  // otherwise, or if `identity` is of another trust domain or `lifetime` is not in (0, kMaxLifetime]. Each certificate
  // issued is a line in the log.
  Result<std::string> sign(std::string_view request_der, const SpiffeId& identity, std::chrono::seconds lifetime) const;

  [[nodiscard]] std::vector<std::string> roots() const;  // DER

 private:
  CertificateAuthority(std::string trust_domain, Issuer root)
      : trust_domain_(std::move(trust_domain)), root_(std::move(root)) {}

  std::string trust_domain_;
  Issuer root_;
};

}  // namespace leat::ca
