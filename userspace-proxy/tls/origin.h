// TLS that we start towards a server outside the mesh, as a DestinationRule asks: SIMPLE and MUTUAL. Whom we believe is
// said there, not by the mesh's roots; the server is verified unless the rule says that it is not.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/openssl.h"
#include "common/result.h"

namespace leat::tls {

// Immutable, and may be shared between threads. Renewed certificates are another Origin.
class Origin {
 public:
  // PEM, and what messages call it: a file's path, or a Secret.
  struct Pem {
    std::string name;
    std::string text;  // empty: none
    bool operator==(const Pem&) const = default;
  };
  struct Settings {
    std::string sni;                             // empty: none is sent
    std::vector<std::string> subject_alt_names;  // the server proves one of them (DNS, URI or IP); none: `sni`
    Pem roots;                                   // none: the system's
    Pem certificate, key, crl;                   // with the key: ours, for servers that ask
    std::string missing;                         // what can't be had: every connection fails for it
    bool skip_verify = false;
    bool operator==(const Settings&) const = default;
  };
  using Context = std::shared_ptr<SSL_CTX>;

  explicit Origin(Settings settings) : settings_(std::move(settings)) {}

  // What connections are made of. The first call takes milliseconds. Fails (kInvalid) with a sentence that names what
  // can't be used.
  [[nodiscard]] Result<Context> context() const;
  [[nodiscard]] const Settings& settings() const { return settings_; }

 private:
  [[nodiscard]] Result<Context> load() const;

  Settings settings_;
  mutable std::mutex mutex_;  // handshakes only, never bytes
  mutable std::optional<Result<Context>> made_;
};

// For one connection, before its handshake. The origin outlives `ssl`.
void attach(SSL* ssl, const Origin* origin);

}  // namespace leat::tls
