// cni/: leat-cni, which a container runtime calls for each pod that it makes or removes, after the plugins that gave
// the pod its network. It changes nothing itself: it asks the agent to capture the pod before its first program starts,
// waits for a bounded time, and says what went wrong. From the bottom up:
//
//   network_config.h   standard input          agent_link.h   one question to the agent
//   environment.h      the CNI_… variables     plugin.h       the verbs
//
// Static, one thread, no child, no credential; reads one file and speaks on one unix socket. This file: an error as the
// specification has it.
#pragma once

#include <expected>
#include <string>
#include <utility>

#include "common/cni_message.h"

namespace leat::cni {

struct Error {
  Code code = Code::kOk;
  std::string message;
  std::string details;
};

template <typename T>
using Expected = std::expected<T, Error>;

inline std::unexpected<Error> refuse(Code code, std::string message, std::string details = "") {
  return std::unexpected(Error{code, std::move(message), std::move(details)});
}

}  // namespace leat::cni
