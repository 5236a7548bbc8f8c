#include "control/read_client_tls.h"

#include <fmt/format.h>

namespace leat::control {
namespace {

bool read_file(const Field& field, std::string& path) {
  path = field.text_or();
  if (path.empty() || path.starts_with('/')) return true;
  field.error("must be an absolute path; connections fail until it is");
  return false;
}

void read_origination(const Field& field, bool mutual, v1::TlsOrigination& tls) {
  tls.set_sni(field["sni"].text_or());
  for (const Field& item : field["subjectAltNames"].items()) tls.add_subject_alt_names(item.text_or());
  read_file(field["caCertificates"], *tls.mutable_ca_file());
  read_file(field["caCrl"], *tls.mutable_crl_file());
  read_file(field["clientCertificate"], *tls.mutable_certificate_file());
  read_file(field["privateKey"], *tls.mutable_key_file());
  tls.set_secret(field["credentialName"].name().value_or(""));
  tls.set_skip_verify(field["insecureSkipVerify"].boolean().value_or(false));
  if (tls.skip_verify())
    field["insecureSkipVerify"].warn("whoever answers is believed to be the server: nothing is verified");
  const bool files = !tls.ca_file().empty() || !tls.certificate_file().empty() || !tls.key_file().empty();
  if (files && !tls.secret().empty()) {
    field["credentialName"].error("stands beside files, which are ignored");
    tls.clear_ca_file();
    tls.clear_certificate_file();
    tls.clear_key_file();
  }
  if (!mutual && (!tls.certificate_file().empty() || !tls.key_file().empty())) {
    field["clientCertificate"].warn("has no effect with SIMPLE; MUTUAL shows a certificate");
    tls.clear_certificate_file();
    tls.clear_key_file();
  }
  if (mutual && tls.secret().empty() && (tls.certificate_file().empty() || tls.key_file().empty()))
    field.error(
        "MUTUAL needs clientCertificate and privateKey, or credentialName; connections fail until they are there");
}

}  // namespace

std::optional<ClientTls> read_client_tls(const Field& field) {
  const auto mode = field["mode"].text();
  if (!mode) return std::nullopt;
  if (*mode == "DISABLE") return ClientTls{.mode = v1::UPSTREAM_TLS_DISABLE};
  if (*mode == "ISTIO_MUTUAL") return ClientTls{.mode = v1::UPSTREAM_TLS_MUTUAL};
  if (*mode != "SIMPLE" && *mode != "MUTUAL") {
    field["mode"].error(fmt::format("must be DISABLE, SIMPLE, MUTUAL or ISTIO_MUTUAL, not '{}'; ignored", *mode));
    return std::nullopt;
  }
  ClientTls tls{.mode = v1::UPSTREAM_TLS_ORIGINATE, .mutual = *mode == "MUTUAL"};
  read_origination(field, tls.mutual, tls.origination);
  return tls;
}

}  // namespace leat::control
