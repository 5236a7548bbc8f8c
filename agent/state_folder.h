// The agent's state folder: small files that must survive a restart, each replaced whole, and the lock that makes its
// owner the only agent of this node. A file survives the agent's death, not the machine's: what it remembers (ids, the
// lease) is of connections and processes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/unique_fd.h"

namespace leat::agent {

class StateFolder {
 public:
  // Makes the folder if need be, and takes its lock. While another agent holds it, `waiting` is called once and then
  // the call waits: a newer agent is ready, with its files read and checked, the moment the older one leaves.
  static Result<StateFolder> open(std::string path, const std::function<void()>& waiting);

  [[nodiscard]] Result<std::optional<std::string>> read(const std::string& file) const;  // nothing: no such file
  [[nodiscard]] Result<void> write(const std::string& file, std::string_view text) const;

 private:
  StateFolder(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  UniqueFd lock_;
};

}  // namespace leat::agent
