// One conversation with the agent's read-only API.
#pragma once

#include <chrono>
#include <string>

#include "common/message_socket.h"
#include "common/result.h"
#include "leat.pb.h"

namespace leat::cli {

class AgentClient {
 public:
  static Result<AgentClient> connect(const std::string& path);
  // Asks, and waits for the whole answer. A partial answer has a sentence in its `error`.
  Result<v1::ApiReply> ask(const v1::ApiRequest& request);

 private:
  explicit AgentClient(UniqueFd fd) : socket_(std::move(fd)) {}
  Result<void> wait_for(short events, std::chrono::steady_clock::time_point deadline) const;
  MessageSocket socket_;
};

}  // namespace leat::cli
