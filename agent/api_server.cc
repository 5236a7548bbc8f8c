#include "agent/api_server.h"

#include <sys/socket.h>

#include "agent/limits.h"

namespace leat::agent {

Result<std::unique_ptr<ApiServer>> ApiServer::open(EventLoop& loop, const std::string& path, Handler handler) {
  LEAT_TRY(UniqueFd listener, MessageSocket::listen_at(path, 0666));
  return std::unique_ptr<ApiServer>(new ApiServer(loop, std::move(listener), std::move(handler)));
}

ApiServer::ApiServer(EventLoop& loop, UniqueFd listener, Handler handler)
    : loop_(loop), listener_(std::move(listener)), handler_(std::move(handler)) {
  loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept_all(); });
}

ApiServer::~ApiServer() { loop_.forget(listener_.get()); }

void ApiServer::accept_all() {
  for (;;) {
    UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return;
    if (clients_.size() >= limits::kMaxApiConnections)
      continue;  // closed: the client says that it can't reach the agent
    const uint64_t id = next_id_++;
    clients_[id].connection = std::make_unique<MessageConnection>(
        loop_, MessageSocket(std::move(socket), limits::kMaxApiRequestBytes),
        MessageConnection::Handlers{
            .message = [this, id](const ReceivedMessage& received) { on_message(id, received); },
            .closed = [this, id](const Error&) { clients_.erase(id); }});
  }
}

void ApiServer::on_message(uint64_t id, const ReceivedMessage& received) {
  Client& client = clients_.at(id);
  v1::ApiRequest request;
  if (client.answering || !received.fds.empty() || !request.ParseFromString(received.bytes)) {
    return client.connection->close(
        {.code = ErrorCode::kProtocol, .message = "a request that can't be read, or before the last reply"});
  }
  client.answering = true;
  handler_(request, [this, id](const v1::ApiReply& reply) {
    const auto found = clients_.find(id);
    if (found == clients_.end()) return;
    found->second.answering = false;
    found->second.connection->send(reply);
  });
}

}  // namespace leat::agent
