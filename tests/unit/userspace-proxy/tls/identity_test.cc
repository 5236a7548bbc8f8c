#include "userspace-proxy/tls/identity.h"

#include <doctest/doctest.h>

using leat::tls::FailureKind;
using leat::tls::read_certificate;

namespace {

// A self-made certificate with the given extensions, in OpenSSL's configuration syntax.
leat::ssl::Certificate certificate(std::initializer_list<std::pair<int, const char*>> extensions) {
  static const leat::ssl::Key key(EVP_EC_gen("P-256"));
  leat::ssl::Certificate made(X509_new());
  X509_set_version(made.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 0x1234);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 60);
  X509_set_pubkey(made.get(), key.get());
  for (const auto& [nid, value] : extensions) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    REQUIRE(extension);
    X509_add_ext(made.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_sign(made.get(), key.get(), EVP_sha256());
  return made;
}

constexpr const char* kGoodSan = "URI:spiffe://cluster.local/ns/shop/sa/front";
constexpr const char* kGoodUsage = "critical,digitalSignature";

FailureKind fault(std::initializer_list<std::pair<int, const char*>> extensions) {
  const auto read = read_certificate(certificate(extensions).get());
  return read ? FailureKind::kNone : read.error().kind;
}

}  // namespace

TEST_CASE("a workload certificate gives its identity, serial and validity") {
  const auto read =
      read_certificate(certificate({{NID_key_usage, kGoodUsage}, {NID_subject_alt_name, kGoodSan}}).get());
  REQUIRE(read);
  CHECK(read->identity.text() == "spiffe://cluster.local/ns/shop/sa/front");
  CHECK(read->serial == "1234");
  CHECK(read->not_after_unix - read->not_before_unix == 60);
}

TEST_CASE("exactly one URI SAN names a workload; names of other kinds may stand beside it") {
  const auto usage = std::pair{NID_key_usage, kGoodUsage};
  CHECK(fault({usage}) == FailureKind::kNoUriSan);
  CHECK(fault({usage, {NID_subject_alt_name, "DNS:a.b"}}) == FailureKind::kNoUriSan);
  CHECK(fault({usage, {NID_subject_alt_name, "DNS:a.b,URI:spiffe://td/ns/a/sa/b"}}) == FailureKind::kNone);
  CHECK(fault({usage, {NID_subject_alt_name, "URI:spiffe://td/ns/a/sa/b,URI:spiffe://td/ns/a/sa/c"}}) ==
        FailureKind::kSeveralUriSans);
  CHECK(fault({usage, {NID_subject_alt_name, "URI:spiffe://td/ns/a/sa/b,URI:https://elsewhere"}}) ==
        FailureKind::kSeveralUriSans);
  CHECK(fault({usage, {NID_subject_alt_name, kGoodSan}, {NID_subject_alt_name, kGoodSan}}) != FailureKind::kNone);
  CHECK(fault({usage, {NID_subject_alt_name, "URI:https://elsewhere/ns/a/sa/b"}}) == FailureKind::kNotSpiffe);
}

TEST_CASE("a certificate that may sign others, or not do both sides of TLS, is no workload's") {
  const auto san = std::pair{NID_subject_alt_name, kGoodSan};
  CHECK(fault({san}) == FailureKind::kWrongUsage);
  CHECK(fault({san, {NID_key_usage, "keyEncipherment"}}) == FailureKind::kWrongUsage);
  CHECK(fault({san, {NID_key_usage, "digitalSignature,keyCertSign"}}) == FailureKind::kWrongUsage);
  CHECK(fault({san, {NID_key_usage, "digitalSignature,cRLSign"}}) == FailureKind::kWrongUsage);
  CHECK(fault({san, {NID_key_usage, kGoodUsage}, {NID_basic_constraints, "critical,CA:TRUE"}}) ==
        FailureKind::kWrongUsage);
  CHECK(fault({san, {NID_key_usage, kGoodUsage}, {NID_ext_key_usage, "serverAuth"}}) == FailureKind::kWrongUsage);
  CHECK(fault({san, {NID_key_usage, kGoodUsage}, {NID_ext_key_usage, "serverAuth,clientAuth"}}) == FailureKind::kNone);
}
