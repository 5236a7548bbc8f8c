#include "userspace-proxy/tls/origin.h"

#include <algorithm>

#include <openssl/pem.h>

#include "common/ip.h"
#include "userspace-proxy/tls/system_roots.h"

namespace leat::tls {
namespace {

const Origin* attached(SSL* ssl) { return static_cast<const Origin*>(SSL_get_app_data(ssl)); }

ssl::Bytes memory(const std::string& text) {
  return ssl::Bytes(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::vector<ssl::Certificate> certificates_in(const std::string& text) {
  std::vector<ssl::Certificate> all;
  const ssl::Bytes bytes = memory(text);
  while (X509* certificate = PEM_read_bio_X509(bytes.get(), nullptr, nullptr, nullptr)) all.emplace_back(certificate);
  ERR_clear_error();  // the end is an error too
  return all;
}

Result<void> use_roots(SSL_CTX* context, const Origin::Settings& settings) {
  if (settings.roots.text.empty()) {
    LEAT_TRY(X509_STORE* const system, system_roots());
    X509_STORE_up_ref(system);
    SSL_CTX_set_cert_store(context, system);
    return {};
  }
  const auto roots = certificates_in(settings.roots.text);
  if (roots.empty()) return fail(ErrorCode::kInvalid, "the CA certificates, {}, hold none in PEM", settings.roots.name);
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  for (const ssl::Certificate& root : roots) X509_STORE_add_cert(store, root.get());
  return {};
}

// Checks of this context alone: the system's roots are shared.
Result<void> use_revocations(SSL_CTX* context, const Origin::Settings& settings) {
  X509_VERIFY_PARAM* param = SSL_CTX_get0_param(context);
  // Who names an intermediate's or a server's own certificate means it.
  if (!settings.roots.text.empty()) X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
  if (settings.crl.text.empty()) return {};
  if (settings.roots.text.empty())
    return fail(ErrorCode::kInvalid, "the revocation list, {}, needs caCertificates beside it", settings.crl.name);
  const ssl::Bytes bytes = memory(settings.crl.text);
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  int lists = 0;
  while (X509_CRL* list = PEM_read_bio_X509_CRL(bytes.get(), nullptr, nullptr, nullptr)) {
    X509_STORE_add_crl(store, list);
    X509_CRL_free(list);
    ++lists;
  }
  ERR_clear_error();
  if (lists == 0) return fail(ErrorCode::kInvalid, "the revocation list, {}, holds none in PEM", settings.crl.name);
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_CRL_CHECK);
  return {};
}

Result<void> use_own(SSL_CTX* context, const Origin::Settings& settings) {
  if (settings.certificate.text.empty() && settings.key.text.empty()) return {};
  const auto chain = certificates_in(settings.certificate.text);
  if (chain.empty())
    return fail(ErrorCode::kInvalid, "the client certificate, {}, is none in PEM", settings.certificate.name);
  const ssl::Bytes bytes = memory(settings.key.text);
  const auto no_password = [](char*, int, int, void*) { return -1; };
  const ssl::Key key(PEM_read_bio_PrivateKey(bytes.get(), nullptr, no_password, nullptr));
  if (!key)
    return fail(ErrorCode::kInvalid, "the private key, {}, is none in PEM without a password: {}", settings.key.name,
                ssl::take_error());
  bool set = SSL_CTX_use_certificate(context, chain[0].get()) == 1 && SSL_CTX_use_PrivateKey(context, key.get()) == 1;
  for (size_t i = 1; set && i < chain.size(); ++i) set = SSL_CTX_add1_chain_cert(context, chain[i].get()) == 1;
  if (set) return {};
  return fail(ErrorCode::kInvalid, "the private key, {}, does not belong to the client certificate, {}: {}",
              settings.key.name, settings.certificate.name, ssl::take_error());
}

// A name of the certificate's, as the rule has it: spiffe://…, 192.0.2.1, host or *.host of the certificate.
bool proves(X509* certificate, const std::string& name) {
  if (IpAddress::parse(name)) return X509_check_ip_asc(certificate, name.c_str(), 0) == 1;
  if (name.find("://") == std::string::npos)
    return X509_check_host(certificate, name.data(), name.size(), 0, nullptr) == 1;
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  bool found = false;
  for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* each = sk_GENERAL_NAME_value(names, i);
    if (each->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = each->d.uniformResourceIdentifier;
    found = name == std::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                                     static_cast<size_t>(ASN1_STRING_length(uri)));
  }
  GENERAL_NAMES_free(names);
  return found;
}

// OpenSSL asks once a handshake; its verdict becomes SSL_get_verify_result().
int verify_server(X509_STORE_CTX* context, void*) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  const Origin::Settings& settings = attached(ssl)->settings();
  if (settings.skip_verify) {
    X509_STORE_CTX_set_error(context, X509_V_OK);
    return 1;
  }
  if (X509_verify_cert(context) != 1) return 0;
  X509* leaf = X509_STORE_CTX_get0_cert(context);
  const auto& names = settings.subject_alt_names;
  const bool right = names.empty() ? !settings.sni.empty() && proves(leaf, settings.sni)
                                   : std::ranges::any_of(names, [&](const auto& name) { return proves(leaf, name); });
  if (right) return 1;
  X509_STORE_CTX_set_error(context, X509_V_ERR_HOSTNAME_MISMATCH);
  return 0;
}

}  // namespace

void attach(SSL* ssl, const Origin* origin) {
  SSL_set_app_data(ssl, const_cast<Origin*>(origin));
  if (!origin->settings().sni.empty()) SSL_set_tlsext_host_name(ssl, origin->settings().sni.c_str());
}

Result<Origin::Context> Origin::context() const {
  const std::lock_guard lock(mutex_);
  if (!made_) made_ = load();
  return *made_;
}

Result<Origin::Context> Origin::load() const {
  if (!settings_.missing.empty()) return fail(ErrorCode::kInvalid, "{}", settings_.missing);
  Context context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  if (!context) return fail(ErrorCode::kSystem, "no TLS context: {}", ssl::take_error());
  SSL_CTX* raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(raw, verify_server, nullptr);
  if (!settings_.skip_verify) {
    LEAT_TRY_VOID(use_roots(raw, settings_));
    LEAT_TRY_VOID(use_revocations(raw, settings_));
  }
  LEAT_TRY_VOID(use_own(raw, settings_));
  return context;
}

}  // namespace leat::tls
