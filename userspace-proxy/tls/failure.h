// Why a TLS connection ended: a value to count and branch on, and a sentence for a person.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace leat::tls {

enum class FailureKind : uint8_t {
  kNone,
  kNoCertificate,   // the peer showed none
  kExpired,         // the leaf or an issuer is past its notAfter
  kNotYetValid,     // or before its notBefore: a clock is wrong
  kUnknownIssuer,   // no way from the leaf to one of our roots
  kBadCertificate,  // not parseable, a wrong signature, a chain that breaks another rule of RFC 5280
  kWrongUsage,      // a CA's certificate, or key usages that do not fit a workload's
  kNoUriSan,
  kSeveralUriSans,
  kNotSpiffe,  // the URI SAN breaks the SPIFFE rules
  kWrongTrustDomain,
  kUnexpectedIdentity,  // a good certificate, of somebody else than was dialled
  kNoAlpn,              // the peer did not settle on "h2"
  kPeerAlert,           // the peer ended the handshake or the connection with an alert: it did not like us
  kProtocol,            // the bytes are not TLS 1.3 as we speak it
  kTruncated,           // TCP ended without close_notify
};

// A label for metrics and logs: "unknown_issuer".
std::string_view name(FailureKind kind);

// Of a chain that OpenSSL did not accept: `verdict` is one of its X509_V_ERR_….
FailureKind kind_of_verdict(long verdict);

struct Failure {
  FailureKind kind = FailureKind::kNone;
  uint8_t alert = 0;    // kPeerAlert: RFC 8446, section 6
  std::string message;  // names what was wrong and, where it is known, what to do
};

}  // namespace leat::tls
