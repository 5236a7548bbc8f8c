#include "userspace-proxy/tls/failure.h"

namespace leat::tls {

std::string_view name(FailureKind kind) {
  switch (kind) {
    case FailureKind::kNone:
      return "none";
    case FailureKind::kNoCertificate:
      return "no_certificate";
    case FailureKind::kExpired:
      return "expired";
    case FailureKind::kNotYetValid:
      return "not_yet_valid";
    case FailureKind::kUnknownIssuer:
      return "unknown_issuer";
    case FailureKind::kBadCertificate:
      return "bad_certificate";
    case FailureKind::kWrongUsage:
      return "wrong_usage";
    case FailureKind::kNoUriSan:
      return "no_uri_san";
    case FailureKind::kSeveralUriSans:
      return "several_uri_sans";
    case FailureKind::kNotSpiffe:
      return "not_spiffe";
    case FailureKind::kWrongTrustDomain:
      return "wrong_trust_domain";
    case FailureKind::kUnexpectedIdentity:
      return "unexpected_identity";
    case FailureKind::kNoAlpn:
      return "no_alpn";
    case FailureKind::kPeerAlert:
      return "peer_alert";
    case FailureKind::kProtocol:
      return "protocol";
    case FailureKind::kTruncated:
      return "truncated";
  }
  return "unknown";
}

}  // namespace leat::tls
