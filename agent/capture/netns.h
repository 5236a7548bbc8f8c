// Network namespaces: going into one and coming back, and what Leat leaves in one.
#pragma once

#include <cstdint>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace leat::capture {

// The calling thread is in another network namespace while this lives.
class NetnsScope {
 public:
  static Result<NetnsScope> enter(const std::string& path);
  NetnsScope(NetnsScope&&) = default;
  NetnsScope& operator=(NetnsScope&&) = delete;
  ~NetnsScope();

  // The namespace itself, for attaching to it.
  [[nodiscard]] int fd() const { return there_.get(); }

 private:
  NetnsScope(UniqueFd home, UniqueFd there) : home_(std::move(home)), there_(std::move(there)) {}
  UniqueFd home_;
  UniqueFd there_;
};

// Of the namespace that the calling thread is in. Never reused until the machine restarts.
Result<uint64_t> current_netns_cookie();

// Makes fd6c:6561:7400::/48 local in the current namespace, as all of 127/8 is anyway. Idempotent.
Result<void> add_alias_route();
Result<void> remove_alias_route();  // absent is fine
Result<bool> has_alias_route();

}  // namespace leat::capture
