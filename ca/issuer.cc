#include "ca/issuer.h"

#include <openssl/pem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <ctime>

#include "common/ip.h"

namespace leat::ca {
namespace {

using std::chrono::seconds;
using std::chrono::system_clock;
using Extension = std::unique_ptr<X509_EXTENSION, ssl::Deleter<X509_EXTENSION_free>>;

std::string text_of(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  return {data, static_cast<size_t>(size)};
}

ssl::Bytes memory_of(std::string_view text) {
  return ssl::Bytes(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// ---- parts of a certificate

Result<void> set_names(X509* certificate, const X509_NAME* issuer) {
  unsigned char serial[16];  // 127 random bits, positive (RFC 5280, section 4.1.2.2)
  if (RAND_bytes(serial, sizeof serial) != 1)
    return fail(ErrorCode::kSystem, "CA: no random serial: {}", ssl::take_error());
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 0x40);
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  const bool set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) &&
                   X509_set_version(certificate, X509_VERSION_3) == 1 && X509_set_issuer_name(certificate, issuer) == 1;
  BN_free(number);
  if (!set) return fail(ErrorCode::kSystem, "CA: names can't be set: {}", ssl::take_error());
  return {};
}

Result<void> set_validity(X509* certificate, std::time_t not_before, std::time_t not_after) {
  if (!ASN1_TIME_set(X509_getm_notBefore(certificate), not_before) ||
      !ASN1_TIME_set(X509_getm_notAfter(certificate), not_after)) {
    return fail(ErrorCode::kSystem, "CA: validity can't be set: {}", ssl::take_error());
  }
  return {};
}

// `value` in OpenSSL's configuration syntax. Callers pass constants, and names that were vetted: no comma, no section.
Result<void> add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return fail(ErrorCode::kSystem, "CA: extension {}: {}", OBJ_nid2sn(nid), ssl::take_error());
  }
  return {};
}

bool is_p256(const EVP_PKEY* key) {
  char group[32];
  size_t size = 0;
  return key && EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1 &&
         std::string_view(group, size) == SN_X9_62_prime256v1;
}

std::time_t unix_time(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? timegm(&parts) : 0;
}

bool is_self_issued(X509* certificate) {
  return X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0;
}

bool is_dns_name(std::string_view name) {
  return !name.empty() && name.size() <= 253 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

}  // namespace

// ---------------------------------------------------------------- PEM, DER, requests

Result<std::vector<std::string>> certificates_from_pem(std::string_view pem) {
  const ssl::Bytes memory = memory_of(pem);
  std::vector<std::string> certificates;
  while (const ssl::Certificate certificate{PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr)})
    certificates.push_back(ssl::to_der(i2d_X509, static_cast<const X509*>(certificate.get())));
  // The end of the text is an error of its own kind to OpenSSL.
  const unsigned long last = ERR_peek_last_error();
  const bool ended = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  const std::string reason = ssl::take_error();
  if (!ended) return fail(ErrorCode::kInvalid, "a certificate of the PEM text can't be read: {}", reason);
  if (certificates.empty()) return fail(ErrorCode::kInvalid, "the PEM text holds no certificate");
  return certificates;
}

std::string pem_of_certificate(std::string_view der) {
  const ssl::Certificate certificate = ssl::certificate_from_der(der);
  const ssl::Bytes memory(BIO_new(BIO_s_mem()));
  if (!certificate || PEM_write_bio_X509(memory.get(), certificate.get()) != 1) return {};
  return text_of(memory.get());
}

Result<std::string> request_from_pem(std::string_view pem) {
  if (pem.size() > 2 * kMaxRequestBytes) return fail(ErrorCode::kInvalid, "CA: the request is too long");
  const ssl::Request request(PEM_read_bio_X509_REQ(memory_of(pem).get(), nullptr, nullptr, nullptr));
  if (!request) return fail(ErrorCode::kInvalid, "CA: the request is not PKCS#10 in PEM: {}", ssl::take_error());
  return ssl::to_der(i2d_X509_REQ, static_cast<const X509_REQ*>(request.get()));
}

Result<ssl::Key> proven_key(std::string_view request_der) {
  if (request_der.size() > kMaxRequestBytes) return fail(ErrorCode::kInvalid, "CA: the request is too long");
  const auto* at = reinterpret_cast<const unsigned char*>(request_der.data());
  const auto* end = at + request_der.size();
  const ssl::Request request(d2i_X509_REQ(nullptr, &at, static_cast<long>(request_der.size())));
  if (!request || at != end)
    return fail(ErrorCode::kInvalid, "CA: the request is not PKCS#10 in DER: {}", ssl::take_error());
  ssl::Key key(X509_REQ_get_pubkey(request.get()));
  ERR_clear_error();
  if (!is_p256(key.get())) return fail(ErrorCode::kInvalid, "CA: the request's key is not ECDSA P-256");
  if (X509_REQ_verify(request.get(), key.get()) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::kInvalid, "CA: the request is not signed by its own key");
  }
  return key;
}

// ---------------------------------------------------------------- the issuer

Result<Issuer> Issuer::make_root(std::string_view trust_domain, seconds lifetime) {
  LEAT_TRY_VOID(SpiffeId::make(trust_domain, "ns", "sa"));
  ssl::Key key(EVP_EC_gen("P-256"));
  if (!key) return fail(ErrorCode::kSystem, "CA: no key could be made: {}", ssl::take_error());
  ssl::Certificate root(X509_new());
  X509_NAME* subject = X509_get_subject_name(root.get());
  X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(trust_domain.data()),
                             static_cast<int>(trust_domain.size()), -1, 0);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>("Leat root"), -1, -1,
                             0);
  const std::time_t now = std::time(nullptr);
  LEAT_TRY_VOID(set_names(root.get(), subject));
  LEAT_TRY_VOID(set_validity(root.get(), now - kBackdate.count(), now + lifetime.count()));
  X509_set_pubkey(root.get(), key.get());
  LEAT_TRY_VOID(add_extension(root.get(), root.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  LEAT_TRY_VOID(add_extension(root.get(), root.get(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  LEAT_TRY_VOID(add_extension(root.get(), root.get(), NID_subject_key_identifier, "hash"));
  // Two roots of a rotation have one name: a verifier finds the right one by its key.
  LEAT_TRY_VOID(add_extension(root.get(), root.get(), NID_authority_key_identifier, "keyid:always"));
  LEAT_TRY_VOID(
      add_extension(root.get(), root.get(), NID_subject_alt_name, fmt::format("URI:spiffe://{}", trust_domain)));
  if (X509_sign(root.get(), key.get(), EVP_sha256()) == 0)
    return fail(ErrorCode::kSystem, "CA: root: {}", ssl::take_error());
  return Issuer(std::move(key), std::move(root));
}

Result<Issuer> Issuer::load(std::string_view key_pem, std::string_view chain_pem) {
  ssl::Key key(PEM_read_bio_PrivateKey(memory_of(key_pem).get(), nullptr, nullptr, nullptr));
  if (!key) return fail(ErrorCode::kInvalid, "no private key in PEM: {}", ssl::take_error());
  LEAT_TRY(const std::vector<std::string> chain, certificates_from_pem(chain_pem));
  ssl::Certificate own = ssl::certificate_from_der(chain.front());
  if (X509_check_private_key(own.get(), key.get()) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::kInvalid, "the certificate does not belong to the key");
  }
  if (X509_check_ca(own.get()) != 1 || (X509_get_key_usage(own.get()) & KU_KEY_CERT_SIGN) == 0)
    return fail(ErrorCode::kInvalid, "the certificate may not sign others: it is no CA's");
  if (X509_cmp_current_time(X509_get0_notAfter(own.get())) < 0)
    return fail(ErrorCode::kInvalid, "the certificate has expired");
  Issuer issuer(std::move(key), std::move(own));
  for (const std::string& der : chain) {
    const ssl::Certificate certificate = ssl::certificate_from_der(der);
    if (!is_self_issued(certificate.get())) issuer.intermediates_.push_back(der);
  }
  return issuer;
}

// A certificate for `key` that all but its own extensions stand in.
Result<ssl::Certificate> Issuer::begin(EVP_PKEY* key, seconds lifetime) const {
  const std::time_t now = std::time(nullptr), end = unix_time(X509_get0_notAfter(certificate_.get()));
  if (end <= now) return fail(ErrorCode::kInvalid, "CA: the issuing certificate has expired");
  ssl::Certificate certificate(X509_new());
  LEAT_TRY_VOID(set_names(certificate.get(), X509_get_subject_name(certificate_.get())));
  LEAT_TRY_VOID(
      set_validity(certificate.get(), now - kBackdate.count(), std::min<std::time_t>(now + lifetime.count(), end)));
  X509_set_pubkey(certificate.get(), key);
  LEAT_TRY_VOID(add_extension(certificate.get(), certificate_.get(), NID_basic_constraints, "critical,CA:FALSE"));
  LEAT_TRY_VOID(add_extension(certificate.get(), certificate_.get(), NID_key_usage, "critical,digitalSignature"));
  LEAT_TRY_VOID(add_extension(certificate.get(), certificate_.get(), NID_authority_key_identifier, "keyid:always"));
  return certificate;
}

Result<std::string> Issuer::sign(std::string_view request_der, const SpiffeId& identity, seconds lifetime) const {
  if (lifetime.count() <= 0 || lifetime > kMaxLifetime) {
    return fail(ErrorCode::kInvalid, "CA: a lifetime of {} s is not within 1 … {} s", lifetime.count(),
                kMaxLifetime.count());
  }
  LEAT_TRY_VOID(SpiffeId::make(identity.trust_domain, identity.ns, identity.service_account));
  LEAT_TRY(const ssl::Key key, proven_key(request_der));
  LEAT_TRY(const ssl::Certificate leaf, begin(key.get(), lifetime));
  LEAT_TRY_VOID(add_extension(leaf.get(), certificate_.get(), NID_ext_key_usage, "serverAuth,clientAuth"));
  // Critical, because the subject is empty (RFC 5280, section 4.2.1.6).
  LEAT_TRY_VOID(add_extension(leaf.get(), certificate_.get(), NID_subject_alt_name, "critical,URI:" + identity.text()));
  if (X509_sign(leaf.get(), key_.get(), EVP_sha256()) == 0)
    return fail(ErrorCode::kSystem, "CA: signing: {}", ssl::take_error());
  return ssl::to_der(i2d_X509, static_cast<const X509*>(leaf.get()));
}

Result<Issuer::Server> Issuer::make_server(const std::vector<std::string>& names, seconds lifetime) const {
  std::string all = "critical";
  for (const std::string& name : names) {
    const bool is_address = IpAddress::parse(name).has_value();
    if (!is_address && !is_dns_name(name))
      return fail(ErrorCode::kInvalid, "CA: {} is neither a DNS name in lower case nor an IP address", name);
    all += fmt::format(",{}:{}", is_address ? "IP" : "DNS", name);
  }
  if (names.empty()) return fail(ErrorCode::kInvalid, "CA: a server without a name");
  const ssl::Key key(EVP_EC_gen("P-256"));
  if (!key) return fail(ErrorCode::kSystem, "CA: no key could be made: {}", ssl::take_error());
  LEAT_TRY(const ssl::Certificate certificate, begin(key.get(), lifetime));
  LEAT_TRY_VOID(add_extension(certificate.get(), certificate_.get(), NID_ext_key_usage, "serverAuth"));
  LEAT_TRY_VOID(add_extension(certificate.get(), certificate_.get(), NID_subject_alt_name, all));
  const ssl::Bytes memory(BIO_new(BIO_s_mem()));
  if (X509_sign(certificate.get(), key_.get(), EVP_sha256()) == 0 ||
      PEM_write_bio_PrivateKey(memory.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return fail(ErrorCode::kSystem, "CA: the server's certificate: {}", ssl::take_error());
  }
  Server server{.key_pem = text_of(memory.get()),
                .chain_pem = pem_of_certificate(ssl::to_der(i2d_X509, static_cast<const X509*>(certificate.get())))};
  for (const std::string& der : intermediates_) server.chain_pem += pem_of_certificate(der);
  return server;
}

std::string Issuer::key_pem() const {
  const ssl::Bytes memory(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PrivateKey(memory.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) return {};
  return text_of(memory.get());
}

std::string Issuer::certificate_der() const {
  return ssl::to_der(i2d_X509, static_cast<const X509*>(certificate_.get()));
}

std::string Issuer::organisation() const {
  char text[256] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate_.get()), NID_organizationName, text, sizeof text);
  return text;
}

system_clock::time_point Issuer::not_before() const {
  return system_clock::from_time_t(unix_time(X509_get0_notBefore(certificate_.get())));
}

system_clock::time_point Issuer::not_after() const {
  return system_clock::from_time_t(unix_time(X509_get0_notAfter(certificate_.get())));
}

}  // namespace leat::ca
