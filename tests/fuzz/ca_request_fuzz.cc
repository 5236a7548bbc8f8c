// What a caller of leat-ca sends, and what the API server says of it: a request's key, the identity, a token's review.
// Nothing is signed for a request whose key did not sign it, and what is signed has the identity and no other name.
#include <cstdlib>
#include <string_view>

#include "ca/caller.h"
#include "ca/issuer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace ca = leat::ca;
  static const auto root = ca::Issuer::make_root("cluster.local");
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(ca::read_token_review(text, "istio-ca"));
  static_cast<void>(ca::read_pods(text));
  static_cast<void>(ca::certificates_from_pem(text));
  if (const auto identity = leat::SpiffeId::parse(text); identity && identity->text() != text) std::abort();
  const auto from_pem = ca::request_from_pem(text);
  for (const std::string& der : {std::string(text), from_pem.value_or("")}) {
    const auto leaf = root->sign(der, {"cluster.local", "shop", "cart"}, std::chrono::hours(1));
    if (leaf.has_value() != ca::proven_key(der).has_value()) std::abort();
    if (!leaf) continue;
    const auto certificate = leat::ssl::certificate_from_der(*leaf);
    if (!certificate || X509_check_ca(certificate.get()) != 0 ||
        X509_NAME_entry_count(X509_get_subject_name(certificate.get())) != 0)
      std::abort();
  }
  return 0;
}
