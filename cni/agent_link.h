// One question to the agent, over one unix socket, within a time.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "common/cni_message.h"

namespace leat::cni {

struct Answer {
  std::optional<Reply> reply;
  std::string failure;  // why there is no reply: the last thing that went wrong
};

// Asks until there is a reply or `wait` is over: an agent that is away, or dies meanwhile, is asked again. `netns` goes
// with the question; -1: none.
Answer ask_agent(const std::string& socket_path, Request request, int netns, std::chrono::milliseconds wait);

// Says it and does not wait. False: nobody listens.
bool tell_agent(const std::string& socket_path, const Request& request);

}  // namespace leat::cni
