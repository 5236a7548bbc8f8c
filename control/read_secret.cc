#include "control/read_secret.h"

#include "control/base64.h"

namespace leat::control {
namespace {

// `data` has base64, `stringData` the text as it is, which wins.
std::string read_key(const Field& root, const char* name) {
  if (const auto plain = root["stringData"][name].text()) return *plain;
  const Field field = root["data"][name];
  auto text = field.text();
  if (!text) return "";
  std::erase_if(*text, [](char letter) { return letter == '\n' || letter == ' '; });  // of a block in YAML
  const auto bytes = decode_base64(*text);
  if (!bytes) field.error("must be base64; ignored");
  return bytes.value_or("");
}

std::string first_of(const Field& root, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (std::string value = read_key(root, name); !value.empty()) return value;
  }
  return "";
}

}  // namespace

// The names of a Secret of type kubernetes.io/tls, and Istio's own.
Object read_secret(const Field& root, Meta meta) {
  Secret secret{.meta = std::move(meta)};
  secret.pem.set_certificate(first_of(root, {"tls.crt", "cert"}));
  secret.pem.set_private_key(first_of(root, {"tls.key", "key"}));
  secret.pem.set_ca(first_of(root, {"ca.crt", "cacert"}));
  secret.pem.set_crl(first_of(root, {"ca.crl", "crl"}));
  return secret;
}

}  // namespace leat::control
