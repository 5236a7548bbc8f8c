// A Lease object: read, and written with an eye on its version. Who may write it is for lease_book.h to say.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "common/kubernetes/ask.h"
#include "common/kubernetes/lease_book.h"

namespace leat::kubernetes {

struct LeaseName {
  std::string ns, name;
};

// Of a Lease that does not say how long it holds.
inline constexpr std::chrono::seconds kLeaseDuration{15};
inline constexpr std::chrono::seconds kLeaseDeadline{5};  // of one request

void read_lease(ApiClient& client, const LeaseName& name, Done<std::optional<LeaseBook::Lease>> done);
// `before`: as it was read; nothing: it is made. kConflict: somebody else was faster.
void write_lease(ApiClient& client, const LeaseName& name, const std::string& holder, std::chrono::seconds duration,
                 const std::optional<LeaseBook::Lease>& before, Done<void> done);

}  // namespace leat::kubernetes
