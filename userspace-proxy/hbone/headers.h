// The text that HBONE's headers carry: who is behind a stream. Pure functions; a peer's text is never trusted, only
// reported.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/ip.h"

namespace leat::hbone {

// The `baggage` header: a workload as its own side describes it. Empty fields are absent.
struct Baggage {
  std::string cluster;
  std::string ns;
  std::string workload_kind;  // "deployment", "cronjob", "pod" or "job"
  std::string workload;
  std::string service;
  std::string version;
  std::string region;
  std::string zone;

  // In the order that peers expect. Bytes outside RFC 3986's unreserved set are percent-encoded.
  [[nodiscard]] std::string write() const;
  // Unknown keys and properties are skipped, the last of a repeated key wins; no value for text that is not a baggage
  // list.
  static std::optional<Baggage> parse(std::string_view text);
  bool operator==(const Baggage&) const = default;
};

// The `forwarded` header (RFC 7239): the client's address, and the service that it asked for by name.
struct Forwarded {
  SocketAddress client;
  std::string host;  // empty where the client asked for an address

  [[nodiscard]] std::string write() const;  // for="10.0.0.1:4711";host=a.b.svc.cluster.local
  // Strict: exactly one element, `for` with an IP address and a port (quoted), at most one `host`; other parameters are
  // skipped.
  static std::optional<Forwarded> parse(std::string_view text);
  bool operator==(const Forwarded&) const = default;
};

}  // namespace leat::hbone
