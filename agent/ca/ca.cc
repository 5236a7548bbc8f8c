#include "agent/ca/ca.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>

#include "common/log.h"
#include "common/unique_fd.h"

namespace leat::ca {
namespace {

using Extension = std::unique_ptr<X509_EXTENSION, ssl::Deleter<X509_EXTENSION_free>>;

// ---- files

std::string text_of(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  return {data, static_cast<size_t>(size)};
}

ssl::Bytes memory_of(std::string_view text) {
  return ssl::Bytes(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Result<std::string> read_file(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno(errno, "CA: open {}", path);
  std::string text(64 * 1024, '\0');
  const ssize_t size = read(file.get(), text.data(), text.size());
  if (size < 0) return fail_errno(errno, "CA: read {}", path);
  text.resize(static_cast<size_t>(size));
  return text;
}

// Whole or not at all: a crash leaves no half-written key behind.
Result<void> write_file(const std::string& path, std::string_view text, mode_t mode) {
  const std::string draft = path + ".new";
  const UniqueFd file(open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!file) return fail_errno(errno, "CA: create {}", draft);
  if (fchmod(file.get(), mode) != 0) return fail_errno(errno, "CA: chmod {}", draft);
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return fail_errno(errno, "CA: write {}", draft);
  if (fsync(file.get()) != 0) return fail_errno(errno, "CA: fsync {}", draft);
  if (rename(draft.c_str(), path.c_str()) != 0) return fail_errno(errno, "CA: rename {}", draft);
  return {};
}

// ---- certificates

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

Result<void> set_validity(X509* certificate, std::chrono::seconds lifetime) {
  const std::time_t now = std::time(nullptr);
  if (!ASN1_TIME_set(X509_getm_notBefore(certificate), now - CertificateAuthority::kBackdate.count()) ||
      !ASN1_TIME_set(X509_getm_notAfter(certificate), now + lifetime.count())) {
    return fail(ErrorCode::kSystem, "CA: validity can't be set: {}", ssl::take_error());
  }
  return {};
}

// `value` in OpenSSL's configuration syntax. Callers pass constants, and names that SpiffeId has vetted: no comma, no
// section.
Result<void> add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return fail(ErrorCode::kSystem, "CA: extension {}: {}", OBJ_nid2sn(nid), ssl::take_error());
  }
  return {};
}

Result<ssl::Certificate> make_root(EVP_PKEY* key, std::string_view trust_domain) {
  ssl::Certificate root(X509_new());
  X509_NAME* subject = X509_get_subject_name(root.get());
  X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(trust_domain.data()),
                             static_cast<int>(trust_domain.size()), -1, 0);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>("Leat root"), -1, -1,
                             0);
  LEAT_TRY_VOID(set_names(root.get(), subject));
  LEAT_TRY_VOID(set_validity(root.get(), CertificateAuthority::kRootLifetime));
  X509_set_pubkey(root.get(), key);
  LEAT_TRY_VOID(add_extension(root.get(), root.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  LEAT_TRY_VOID(add_extension(root.get(), root.get(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  LEAT_TRY_VOID(add_extension(root.get(), root.get(), NID_subject_key_identifier, "hash"));
  LEAT_TRY_VOID(
      add_extension(root.get(), root.get(), NID_subject_alt_name, fmt::format("URI:spiffe://{}", trust_domain)));
  if (X509_sign(root.get(), key, EVP_sha256()) == 0) return fail(ErrorCode::kSystem, "CA: root: {}", ssl::take_error());
  return root;
}

bool is_p256(const EVP_PKEY* key) {
  char group[32];
  size_t size = 0;
  return key && EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1 &&
         std::string_view(group, size) == SN_X9_62_prime256v1;
}

// The request's key, once its owner has proved to hold it.
Result<ssl::Key> proven_key(std::string_view request_der) {
  if (request_der.size() > CertificateAuthority::kMaxRequestBytes)
    return fail(ErrorCode::kInvalid, "CA: the request is too long");
  const auto* at = reinterpret_cast<const unsigned char*>(request_der.data());
  const auto* end = at + request_der.size();
  const ssl::Request request(d2i_X509_REQ(nullptr, &at, static_cast<long>(request_der.size())));
  if (!request || at != end)
    return fail(ErrorCode::kInvalid, "CA: the request is not PKCS#10 in DER: {}", ssl::take_error());
  ssl::Key key(X509_REQ_get_pubkey(request.get()));
  if (!is_p256(key.get())) return fail(ErrorCode::kInvalid, "CA: the request's key is not ECDSA P-256");
  if (X509_REQ_verify(request.get(), key.get()) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::kInvalid, "CA: the request is not signed by its own key");
  }
  return key;
}

// ---- the shared folder

Result<std::pair<ssl::Key, ssl::Certificate>> make(const std::string& key_path, const std::string& root_path,
                                                   std::string_view trust_domain) {
  ssl::Key key(EVP_EC_gen("P-256"));
  if (!key) return fail(ErrorCode::kSystem, "CA: no key could be made: {}", ssl::take_error());
  LEAT_TRY(ssl::Certificate root, make_root(key.get(), trust_domain));
  const ssl::Bytes key_pem(BIO_new(BIO_s_mem()));
  const ssl::Bytes root_pem(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
      PEM_write_bio_X509(root_pem.get(), root.get()) != 1) {
    return fail(ErrorCode::kSystem, "CA: root can't be encoded: {}", ssl::take_error());
  }
  // The certificate last: where it stands, the key stands too.
  LEAT_TRY_VOID(write_file(key_path, text_of(key_pem.get()), 0600));
  LEAT_TRY_VOID(write_file(root_path, text_of(root_pem.get()), 0644));
  log::info("CA: made a root for {} in {}", trust_domain, root_path);
  return std::pair(std::move(key), std::move(root));
}

Result<std::pair<ssl::Key, ssl::Certificate>> load(const std::string& key_path, const std::string& root_path,
                                                   std::string_view trust_domain) {
  LEAT_TRY(const std::string key_pem, read_file(key_path));
  LEAT_TRY(const std::string root_pem, read_file(root_path));
  ssl::Key key(PEM_read_bio_PrivateKey(memory_of(key_pem).get(), nullptr, nullptr, nullptr));
  if (!key) return fail(ErrorCode::kInvalid, "CA: {} holds no private key: {}", key_path, ssl::take_error());
  ssl::Certificate root(PEM_read_bio_X509(memory_of(root_pem).get(), nullptr, nullptr, nullptr));
  if (!root) return fail(ErrorCode::kInvalid, "CA: {} holds no certificate: {}", root_path, ssl::take_error());
  if (X509_check_private_key(root.get(), key.get()) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::kInvalid,
                "CA: {} does not belong to {}; restore the pair from a backup, or remove both to begin a new mesh",
                root_path, key_path);
  }
  if (X509_cmp_current_time(X509_get0_notAfter(root.get())) < 0)
    return fail(ErrorCode::kInvalid, "CA: {} has expired", root_path);
  char organisation[256] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(root.get()), NID_organizationName, organisation, sizeof organisation);
  if (trust_domain != organisation) {
    return fail(ErrorCode::kInvalid, "CA: {} is the root of {}, not of {}; change trustDomain or the folder", root_path,
                organisation, trust_domain);
  }
  return std::pair(std::move(key), std::move(root));
}

}  // namespace

Result<CertificateAuthority> CertificateAuthority::open(const std::string& folder, std::string_view trust_domain) {
  LEAT_TRY_VOID(SpiffeId::make(trust_domain, "ns", "sa"));
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "CA: mkdir {}", folder);
  const std::string lock_path = folder + "/lock";
  const UniqueFd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return fail_errno(errno, "CA: open {}", lock_path);
  if (flock(lock.get(), LOCK_EX) != 0) return fail_errno(errno, "CA: lock {}", lock_path);

  const std::string key_path = folder + "/root.key";
  const std::string root_path = folder + "/root.pem";
  const bool exists = access(root_path.c_str(), F_OK) == 0;
  LEAT_TRY(auto pair, exists ? load(key_path, root_path, trust_domain) : make(key_path, root_path, trust_domain));
  return CertificateAuthority(std::string(trust_domain), std::move(pair.first), std::move(pair.second));
}

Result<std::string> CertificateAuthority::sign(std::string_view request_der, const SpiffeId& identity,
                                               std::chrono::seconds lifetime) const {
  if (identity.trust_domain != trust_domain_)
    return fail(ErrorCode::kInvalid, "CA: {} is not of the trust domain {}", identity.text(), trust_domain_);
  if (lifetime.count() <= 0 || lifetime > kMaxLifetime) {
    return fail(ErrorCode::kInvalid, "CA: a lifetime of {} s is not within 1 … {} s", lifetime.count(),
                kMaxLifetime.count());
  }
  LEAT_TRY_VOID(SpiffeId::make(identity.trust_domain, identity.ns, identity.service_account));
  LEAT_TRY(const ssl::Key key, proven_key(request_der));

  const ssl::Certificate leaf(X509_new());
  LEAT_TRY_VOID(set_names(leaf.get(), X509_get_subject_name(root_.get())));
  LEAT_TRY_VOID(set_validity(leaf.get(), lifetime));
  X509_set_pubkey(leaf.get(), key.get());
  LEAT_TRY_VOID(add_extension(leaf.get(), root_.get(), NID_basic_constraints, "critical,CA:FALSE"));
  LEAT_TRY_VOID(add_extension(leaf.get(), root_.get(), NID_key_usage, "critical,digitalSignature"));
  LEAT_TRY_VOID(add_extension(leaf.get(), root_.get(), NID_ext_key_usage, "serverAuth,clientAuth"));
  LEAT_TRY_VOID(add_extension(leaf.get(), root_.get(), NID_authority_key_identifier, "keyid:always"));
  // Critical, because the subject is empty (RFC 5280, section 4.2.1.6).
  LEAT_TRY_VOID(add_extension(leaf.get(), root_.get(), NID_subject_alt_name, "critical,URI:" + identity.text()));
  if (X509_sign(leaf.get(), key_.get(), EVP_sha256()) == 0)
    return fail(ErrorCode::kSystem, "CA: signing: {}", ssl::take_error());

  log::info("CA: issued {} serial {} for {} s", identity.text(), ssl::serial_text(leaf.get()), lifetime.count());
  return ssl::to_der(i2d_X509, static_cast<const X509*>(leaf.get()));
}

std::vector<std::string> CertificateAuthority::roots() const {
  return {ssl::to_der(i2d_X509, static_cast<const X509*>(root_.get()))};
}

}  // namespace leat::ca
