#include "userspace-proxy/tls/identity.h"

#include <memory>
#include <optional>

namespace leat::tls {
namespace {

using Names = std::unique_ptr<GENERAL_NAMES, ssl::Deleter<GENERAL_NAMES_free>>;

std::unexpected<Failure> refuse(FailureKind kind, std::string message) {
  return std::unexpected(Failure{kind, 0, std::move(message)});
}

std::expected<SpiffeId, Failure> only_uri_san(X509* certificate) {
  int critical = 0;
  const Names names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, nullptr)));
  if (critical == -2) return refuse(FailureKind::kBadCertificate, "the certificate has two subjectAltName extensions");
  if (!names && critical >= 0)
    return refuse(FailureKind::kBadCertificate, "the certificate's subjectAltName can't be parsed");

  std::optional<std::string_view> uri;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* general = sk_GENERAL_NAME_value(names.get(), i);
    if (general->type != GEN_URI) continue;
    if (uri)
      return refuse(FailureKind::kSeveralUriSans,
                    "the certificate has more than one URI subjectAltName; a workload has exactly one");
    const ASN1_IA5STRING* text = general->d.uniformResourceIdentifier;
    uri = std::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                           static_cast<size_t>(ASN1_STRING_length(text)));
  }
  if (!uri) return refuse(FailureKind::kNoUriSan, "the certificate has no URI subjectAltName, so it names no workload");
  auto id = SpiffeId::parse(*uri);
  if (!id) return refuse(FailureKind::kNotSpiffe, std::move(id.error().message));
  return std::move(*id);
}

std::optional<Failure> wrong_usage(X509* certificate) {
  const auto wrong = [](const char* message) { return Failure{FailureKind::kWrongUsage, 0, message}; };
  const uint32_t flags = X509_get_extension_flags(certificate);  // parses and caches the extensions
  if (flags & EXFLAG_INVALID)
    return Failure{FailureKind::kBadCertificate, 0, "the certificate has an extension that can't be parsed"};
  if (flags & EXFLAG_CA) return wrong("a CA's certificate can't be a workload's");
  const uint32_t usage = X509_get_key_usage(certificate);  // all ones where the extension is absent
  if (!(flags & EXFLAG_KUSAGE) || !(usage & KU_DIGITAL_SIGNATURE))
    return wrong("the certificate's keyUsage lacks digitalSignature");
  if (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) return wrong("the certificate's keyUsage lets it sign certificates");
  constexpr uint32_t kBothSides = XKU_SSL_CLIENT | XKU_SSL_SERVER;
  if ((flags & EXFLAG_XKUSAGE) && (X509_get_extended_key_usage(certificate) & kBothSides) != kBothSides) {
    return wrong("the certificate's extendedKeyUsage lacks clientAuth or serverAuth");
  }
  return std::nullopt;
}

int64_t unix_seconds(const ASN1_TIME* time) {
  tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? timegm(&parts) : 0;
}

}  // namespace

std::expected<PeerCertificate, Failure> read_certificate(X509* certificate) {
  if (auto wrong = wrong_usage(certificate)) return std::unexpected(std::move(*wrong));
  auto identity = only_uri_san(certificate);
  ERR_clear_error();
  if (!identity) return std::unexpected(std::move(identity).error());
  return PeerCertificate{std::move(*identity), ssl::serial_text(certificate),
                         unix_seconds(X509_get0_notBefore(certificate)), unix_seconds(X509_get0_notAfter(certificate))};
}

std::expected<PeerCertificate, Failure> read_certificate_der(std::string_view der) {
  const ssl::Certificate certificate = ssl::certificate_from_der(der);
  if (!certificate) return refuse(FailureKind::kBadCertificate, "the bytes are not one X.509 certificate in DER");
  return read_certificate(certificate.get());
}

}  // namespace leat::tls
