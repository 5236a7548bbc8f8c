// Connections to the agent: tries for ever, with short pauses, whenever it is asked for one.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "common/event_loop.h"
#include "common/unique_fd.h"

namespace leat::proxy {

class AgentLink {
 public:
  // `path`: the agent's socket; `connected` is given each connection that was made.
  AgentLink(EventLoop& loop, std::string path, std::function<void(UniqueFd)> connected)
      : loop_(loop), path_(std::move(path)), connected_(std::move(connected)) {}
  AgentLink(const AgentLink&) = delete;
  AgentLink& operator=(const AgentLink&) = delete;

  void connect();

 private:
  EventLoop& loop_;
  std::string path_;
  std::function<void(UniqueFd)> connected_;
  std::chrono::milliseconds pause_{0};
};

}  // namespace leat::proxy
