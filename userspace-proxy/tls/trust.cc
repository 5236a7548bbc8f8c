#include "userspace-proxy/tls/trust.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <limits>

namespace leat::tls {
namespace {

// A node talks to some thousand workloads; when the table is full, what it cost is one more ECDSA verification each.
constexpr size_t kMaxVerdicts = 4096;

Failure chain_failure(int code) {
  const FailureKind kind = kind_of_verdict(code);
  std::string message = fmt::format("the peer's certificate was refused: {}", X509_verify_cert_error_string(code));
  if (kind == FailureKind::kUnknownIssuer) message += "; both nodes must have the same roots";
  if (kind == FailureKind::kExpired || kind == FailureKind::kNotYetValid)
    message += "; check the clocks of both nodes and the peer's CA";
  return {kind, 0, std::move(message)};
}

// The first moment at which a certificate of the verified chain is no longer valid.
int64_t chain_end(X509_STORE_CTX* context) {
  int64_t end = std::numeric_limits<int64_t>::max();
  const STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(context);
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    tm parts{};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(sk_X509_value(chain, i)), &parts) != 1) return 0;
    end = std::min<int64_t>(end, timegm(&parts));
  }
  return end;
}

}  // namespace

size_t TrustBundle::FingerprintHash::operator()(const Fingerprint& fingerprint) const {
  size_t hash = 0;  // a SHA-256 is hash enough: take its first bytes
  std::memcpy(&hash, fingerprint.data(), sizeof hash);
  return hash;
}

Result<std::shared_ptr<const TrustBundle>> TrustBundle::make(std::string trust_domain,
                                                             std::span<const std::string> roots_der) {
  if (roots_der.empty()) return fail(ErrorCode::kInvalid, "trust bundle of {}: there is no root", trust_domain);
  if (roots_der.size() > kMaxRoots)
    return fail(ErrorCode::kInvalid, "trust bundle of {}: more than {} roots", trust_domain, kMaxRoots);
  ssl::Store store(X509_STORE_new());
  for (size_t i = 0; i < roots_der.size(); ++i) {
    const ssl::Certificate root = ssl::certificate_from_der(roots_der[i]);
    if (!root)
      return fail(ErrorCode::kInvalid, "trust bundle of {}: root {} is not a certificate in DER", trust_domain, i);
    if (X509_check_ca(root.get()) != 1)
      return fail(ErrorCode::kInvalid, "trust bundle of {}: root {} is not a CA's", trust_domain, i);
    if (X509_STORE_add_cert(store.get(), root.get()) != 1) {
      return fail(ErrorCode::kInvalid, "trust bundle of {}: root {}: {}", trust_domain, i, ssl::take_error());
    }
  }
  return std::shared_ptr<const TrustBundle>(new TrustBundle(std::move(trust_domain), std::move(store)));
}

std::expected<TrustBundle::Verdict, Failure> TrustBundle::verify_uncached(X509_STORE_CTX* context) const {
  if (X509_verify_cert(context) != 1) return std::unexpected(chain_failure(X509_STORE_CTX_get_error(context)));
  auto peer = read_certificate(X509_STORE_CTX_get0_cert(context));
  if (!peer) return std::unexpected(std::move(peer).error());
  if (peer->identity.trust_domain != trust_domain_) {
    return std::unexpected(
        Failure{FailureKind::kWrongTrustDomain, 0,
                fmt::format("the peer {} is not of our trust domain {}", peer->identity.text(), trust_domain_)});
  }
  return Verdict{std::move(*peer), chain_end(context)};
}

std::expected<PeerCertificate, Failure> TrustBundle::verify(X509_STORE_CTX* context) const {
  X509* leaf = X509_STORE_CTX_get0_cert(context);
  Fingerprint fingerprint;
  if (X509_digest(leaf, EVP_sha256(), fingerprint.data(), nullptr) != 1) {
    return std::unexpected(Failure{FailureKind::kBadCertificate, 0, "the peer's certificate has no digest"});
  }
  const int64_t now = std::time(nullptr);
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = verdicts_.find(fingerprint); found != verdicts_.end()) {
      const bool in_time = found->second.peer.not_before_unix <= now && now < found->second.valid_until_unix;
      if (in_time) return found->second.peer;
      verdicts_.erase(found);
    }
  }
  auto verdict = verify_uncached(context);
  if (!verdict) return std::unexpected(std::move(verdict).error());
  const std::lock_guard lock(mutex_);
  if (verdicts_.size() >= kMaxVerdicts) verdicts_.clear();
  verdicts_.insert_or_assign(fingerprint, *verdict);
  return std::move(verdict->peer);
}

}  // namespace leat::tls
