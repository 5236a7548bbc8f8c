#include "userspace-proxy/tls/trust.h"

#include <doctest/doctest.h>

#include <ctime>
#include <optional>

using leat::ssl::Certificate;
using leat::ssl::Key;
using leat::tls::FailureKind;
using leat::tls::TrustBundle;

namespace {

constexpr long kHour = 3600;

struct Holder {
  Key key{EVP_EC_gen("P-256")};
  Certificate certificate;

  [[nodiscard]] std::string der() const {
    return leat::ssl::to_der(i2d_X509, static_cast<const X509*>(certificate.get()));
  }
};

struct Wanted {
  const char* name = "leaf";
  bool is_ca = false;
  long from = -kHour;  // seconds from now
  long until = kHour;
};

// A certificate that `issuer` signed; null: by itself.
Holder issue(const Holder* issuer, const Wanted& wanted) {
  Holder made;
  made.certificate.reset(X509_new());
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  static long serial = 1;
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), wanted.from);
  X509_gmtime_adj(X509_getm_notAfter(certificate), wanted.until);
  X509_set_pubkey(certificate, made.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(wanted.name), -1, -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer->certificate.get() : certificate));
  const auto add = [&](int nid, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  };
  add(NID_basic_constraints, wanted.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  add(NID_key_usage, wanted.is_ca ? "critical,keyCertSign" : "critical,digitalSignature");
  if (!wanted.is_ca) add(NID_subject_alt_name, "URI:spiffe://cluster.local/ns/shop/sa/front");
  X509_sign(certificate, issuer ? issuer->key.get() : made.key.get(), EVP_sha256());
  return made;
}

std::shared_ptr<const TrustBundle> bundle(const Holder& root) {
  const std::string roots[] = {root.der()};
  return *TrustBundle::make("cluster.local", roots);
}

// As in a handshake: `leaf` and what came with it.
FailureKind verdict(const TrustBundle& trust, const Holder& leaf, std::initializer_list<const Holder*> sent = {}) {
  STACK_OF(X509)* untrusted = sk_X509_new_null();
  for (const Holder* holder : sent) sk_X509_push(untrusted, holder->certificate.get());
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, trust.store(), leaf.certificate.get(), untrusted);
  X509_STORE_CTX_set_default(context, "ssl_client");
  const auto peer = trust.verify(context);
  X509_STORE_CTX_free(context);
  sk_X509_free(untrusted);
  ERR_clear_error();
  return peer ? FailureKind::kNone : peer.error().kind;
}

}  // namespace

TEST_CASE("a leaf is believed within its time only") {
  const Holder root = issue(nullptr, {.name = "root", .is_ca = true, .from = -10 * kHour, .until = 10 * kHour});
  const auto trust = bundle(root);
  CHECK(verdict(*trust, issue(&root, {})) == FailureKind::kNone);
  CHECK(verdict(*trust, issue(&root, {.from = -2 * kHour, .until = -kHour})) == FailureKind::kExpired);
  CHECK(verdict(*trust, issue(&root, {.from = kHour, .until = 2 * kHour})) == FailureKind::kNotYetValid);
}

TEST_CASE("a chain leads through intermediates to a root of ours, or nowhere") {
  const Holder root = issue(nullptr, {.name = "root", .is_ca = true});
  const Holder foreign = issue(nullptr, {.name = "foreign", .is_ca = true});
  const Holder namesake = issue(nullptr, {.name = "root", .is_ca = true});
  const Holder middle = issue(&root, {.name = "middle", .is_ca = true});
  const Holder expired_middle = issue(&root, {.name = "middle", .is_ca = true, .from = -2 * kHour, .until = -kHour});
  const auto trust = bundle(root);
  CHECK(verdict(*trust, issue(&middle, {}), {&middle}) == FailureKind::kNone);
  CHECK(verdict(*trust, issue(&middle, {})) == FailureKind::kUnknownIssuer);
  CHECK(verdict(*trust, issue(&expired_middle, {}), {&expired_middle}) == FailureKind::kExpired);
  CHECK(verdict(*trust, issue(&foreign, {}), {&foreign}) == FailureKind::kUnknownIssuer);
  CHECK(verdict(*trust, issue(&namesake, {}), {&namesake}) != FailureKind::kNone);
  CHECK(verdict(*trust, issue(nullptr, {})) == FailureKind::kUnknownIssuer);
}

TEST_CASE("a workload can't issue identities, and a CA's certificate is none") {
  const Holder root = issue(nullptr, {.name = "root", .is_ca = true});
  const Holder workload = issue(&root, {.name = "workload"});
  const auto trust = bundle(root);
  CHECK(verdict(*trust, issue(&workload, {}), {&workload}) == FailureKind::kWrongUsage);
  CHECK(verdict(*trust, issue(&root, {.name = "middle", .is_ca = true})) != FailureKind::kNone);
}

TEST_CASE("a verdict once reached holds again without the chain, under the same roots only") {
  const Holder root = issue(nullptr, {.name = "root", .is_ca = true});
  const Holder middle = issue(&root, {.name = "middle", .is_ca = true});
  const Holder leaf = issue(&middle, {});
  const auto trust = bundle(root);
  CHECK(verdict(*trust, leaf) == FailureKind::kUnknownIssuer);  // a refusal is not kept
  CHECK(verdict(*trust, leaf, {&middle}) == FailureKind::kNone);
  CHECK(verdict(*trust, leaf) == FailureKind::kNone);
  CHECK(verdict(*bundle(root), leaf) == FailureKind::kUnknownIssuer);
}
