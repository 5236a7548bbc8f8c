#include "cli/agent_client.h"

#include <poll.h>

namespace leat::cli {
namespace {
constexpr std::chrono::seconds kAnswerDeadline{10};  // the agent itself gives up on a silent proxy long before
}

Result<AgentClient> AgentClient::connect(const std::string& path) {
  LEAT_TRY(UniqueFd fd, MessageSocket::connect_to(path));
  return AgentClient(std::move(fd));
}

Result<v1::ApiReply> AgentClient::ask(const v1::ApiRequest& request) {
  const auto deadline = std::chrono::steady_clock::now() + kAnswerDeadline;
  LEAT_TRY_VOID(socket_.send(request));
  while (socket_.wants_write()) {
    LEAT_TRY_VOID(wait_for(POLLOUT, deadline));
    LEAT_TRY_VOID(socket_.flush());
  }
  while (true) {
    LEAT_TRY_VOID(wait_for(POLLIN, deadline));
    LEAT_TRY(const std::optional<ReceivedMessage> message, socket_.receive());
    if (!message) continue;
    v1::ApiReply reply;
    if (!reply.ParseFromString(message->bytes)) return fail(ErrorCode::kProtocol, "its answer can't be read");
    return reply;
  }
}

Result<void> AgentClient::wait_for(short events, std::chrono::steady_clock::time_point deadline) const {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  pollfd ready{socket_.fd(), events, 0};
  const int count = left.count() <= 0 ? 0 : ::poll(&ready, 1, static_cast<int>(left.count()));
  if (count < 0 && errno != EINTR) return fail_errno(errno, "poll");
  if (count == 0) return fail(ErrorCode::kTimeout, "it did not answer within {} s", kAnswerDeadline.count());
  return {};
}

}  // namespace leat::cli
