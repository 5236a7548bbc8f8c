// The process at the other end of a unix socket: told from every other one, seen when it ends, and ended where it is
// within reach. Its number alone does none of that: it is used again, and it is 0 for every process of a pid namespace
// that can't be looked into from here, as that of a proxy in a container of its own.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace leat::agent {

class PeerProcess {
 public:
  // Never equal for two processes; equal for all connections of one process where the kernel lets that be known.
  struct Key {
    uint64_t birth = 0;       // tells it from all that have its number before or after it in this boot; 0: unknown
    pid_t pid = 0;            // its number here, if it has one
    uint64_t connection = 0;  // where both are unknown, the connection stands for it
    auto operator<=>(const Key&) const = default;
  };

  // The process that called connect(). `connection`: a number that no other connection has.
  static PeerProcess of(int socket, uint64_t connection);
  // The process that had this number and birth in the agent's former life, if it lives. Nothing where that can't be
  // known: another process must not be taken for it.
  static std::optional<PeerProcess> find(pid_t pid, uint64_t birth);

  [[nodiscard]] const Key& key() const { return key_; }
  [[nodiscard]] pid_t pid() const { return key_.pid; }         // 0: it has none here
  [[nodiscard]] uint64_t birth() const { return key_.birth; }  // 0: unknown
  // Readable when it has ended; -1 where the kernel gives no handle.
  [[nodiscard]] int exit_fd() const { return pidfd_.get(); }
  // SIGKILL. An error where it is out of reach: it has no handle, or is of another pid namespace.
  [[nodiscard]] Result<void> kill() const;

 private:
  PeerProcess(pid_t pid, UniqueFd pidfd, uint64_t connection);

  UniqueFd pidfd_;
  Key key_;
};

// Names the time since the machine was started, which begins to count processes anew: what is remembered of them beyond
// it is another's.
std::string boot_id();

}  // namespace leat::agent
