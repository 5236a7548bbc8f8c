// The roots of a cluster's mesh, as they stand in a Secret, and how one root follows another with no moment at which a
// peer does not know who signed: publish the next one beside the present one, let it sign once everybody has it, and
// publish the former one until nothing that it signed is valid. Pure: what there is and the time in, what there shall
// be out.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "common/result.h"

namespace leat::ca {

struct RootSet {
  using Time = std::chrono::system_clock::time_point;
  struct Root {
    std::string key_pem, certificate_pem;
    bool operator==(const Root&) const = default;
  };

  Root current;                // signs
  std::optional<Root> next;    // is published, and does not sign yet
  std::string former_pem;      // is published, and signs no more; empty: there is none
  Time changed{};              // when `next` was made, or became `current`
  std::string followed_order;  // the last order to rotate that was followed; empty: none

  // The fields of the Secret. Whole or an error: a Secret that somebody broke by hand is not mended by guessing.
  static Result<RootSet> read(const std::map<std::string, std::string>& fields);
  [[nodiscard]] std::map<std::string, std::string> fields() const;

  // What peers trust, PEM: the one that signs first.
  [[nodiscard]] std::string bundle() const;
  bool operator==(const RootSet&) const = default;
};

struct RotationTimes {
  std::chrono::seconds root_lifetime = std::chrono::hours(24 * 365 * 10);
  // From a root's making until it signs. Each node must have it by then: the kubelet brings a ConfigMap within 2 min.
  std::chrono::seconds distribute = std::chrono::hours(1);
  // From a root's last signature until it is no longer trusted: longer than any certificate lives.
  std::chrono::seconds retire = std::chrono::hours(25);
};

struct RotationStep {
  RootSet roots;
  std::string what;  // for the log
};

// The set of a mesh that has none yet.
Result<RootSet> first_roots(const std::string& trust_domain, const RotationTimes& times, RootSet::Time now);

// The next step, if one is due. A rotation begins when `order` is one that was not followed yet, or when a fifth of the
// root's life is left; one that is under way goes to its end first.
Result<std::optional<RotationStep>> advance(const RootSet& roots, const std::string& trust_domain,
                                            const RotationTimes& times, const std::string& order, RootSet::Time now);

}  // namespace leat::ca
