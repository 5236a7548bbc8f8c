// Keeps the file of enrolled namespaces (common/enrolled_namespaces.h) as the objects are.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/state_folder.h"
#include "common/enrolled_namespaces.h"
#include "control/objects.h"

namespace leat::agent {

class EnrolledFile {
 public:
  using Time = std::chrono::system_clock::time_point;

  // What an agent before this one left. A damaged file counts as none: then every namespace is enrolled from now on.
  static EnrolledFile open(const StateFolder& state);

  // Writes the file if the namespaces are others than it says, or if there is none.
  Result<void> update(const StateFolder& state, const control::ObjectSet& objects, Time now);
  [[nodiscard]] bool is_written() const { return written_; }
  [[nodiscard]] const cni::EnrolledNamespaces& namespaces() const { return namespaces_; }

 private:
  cni::EnrolledNamespaces namespaces_;
  bool written_ = false;  // as namespaces_ is
};

// RFC 3339 in UTC, to the second, as Kubernetes writes times: text order is time order.
std::string utc_text(EnrolledFile::Time time);

}  // namespace leat::agent
