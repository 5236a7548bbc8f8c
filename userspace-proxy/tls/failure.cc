#include "userspace-proxy/tls/failure.h"

#include <openssl/x509_vfy.h>

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

FailureKind kind_of_verdict(long verdict) {
  switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return FailureKind::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return FailureKind::kNotYetValid;
    case X509_V_ERR_HOSTNAME_MISMATCH:
      return FailureKind::kUnexpectedIdentity;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return FailureKind::kUnknownIssuer;
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_INVALID_CA:
      return FailureKind::kWrongUsage;
    default:
      return FailureKind::kBadCertificate;
  }
}

}  // namespace leat::tls
