// Ownership and errors of OpenSSL's objects, for the few files that speak to libcrypto and libssl.
#pragma once

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>

namespace leat::ssl {

template <auto Free>
struct Deleter {
  template <typename Object>
  void operator()(Object* object) const {
    Free(object);
  }
};

using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Request = std::unique_ptr<X509_REQ, Deleter<X509_REQ_free>>;
using Store = std::unique_ptr<X509_STORE, Deleter<X509_STORE_free>>;
using Context = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;
using Connection = std::unique_ptr<SSL, Deleter<SSL_free>>;
using Bytes = std::unique_ptr<BIO, Deleter<BIO_free>>;

// The oldest error in this thread's queue as text; empties the queue.
inline std::string take_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no reason given";
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

// The DER form of `object` by one of OpenSSL's i2d functions; empty if it fails.
template <typename Object>
std::string to_der(int (*i2d)(const Object*, unsigned char**), const Object* object) {
  unsigned char* bytes = nullptr;
  const int size = i2d(object, &bytes);
  if (size <= 0) return {};
  std::string der(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
  return der;
}

// One certificate, and nothing behind it; null if `der` is anything else.
inline Certificate certificate_from_der(std::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  Certificate certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (certificate && at != reinterpret_cast<const unsigned char*>(der.data()) + der.size()) certificate.reset();
  if (!certificate) ERR_clear_error();
  return certificate;
}

// A certificate's serial number in lower-case hexadecimal, as in logs and `leat certificates`.
inline std::string serial_text(const X509* certificate) {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate);
  const unsigned char* bytes = ASN1_STRING_get0_data(serial);
  return fmt::format("{:02x}", fmt::join(bytes, bytes + ASN1_STRING_length(serial), ""));
}

}  // namespace leat::ssl
