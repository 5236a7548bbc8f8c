// From a certificate to a workload's identity: the SPIFFE rules for X.509 (one URI SAN, a leaf's usages). No chain is
// looked at here.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "common/openssl.h"
#include "common/spiffe.h"
#include "userspace-proxy/tls/failure.h"

namespace leat::tls {

// What is known of a peer once its certificate was verified.
struct PeerCertificate {
  SpiffeId identity;
  std::string serial;           // lower-case hexadecimal
  int64_t not_before_unix = 0;  // seconds
  int64_t not_after_unix = 0;
};

// Refuses what SPIFFE refuses: not exactly one URI SAN, a SPIFFE ID that is not strict, a CA's certificate, usages that
// sign certificates, an extended key usage without both client and server authentication.
std::expected<PeerCertificate, Failure> read_certificate(X509* certificate);
std::expected<PeerCertificate, Failure> read_certificate_der(std::string_view der);

}  // namespace leat::tls
