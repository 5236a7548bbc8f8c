// The agent's side of api.sock, which `leat` and whatever else runs on the node may read: requests in, replies out,
// nothing that changes anything. Anybody may connect, so that what a connection may hold is bounded.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/message_connection.h"
#include "common/result.h"
#include "leat.pb.h"

namespace leat::agent {

class ApiServer {
 public:
  // Called once a request, now or later; nothing happens if the client has left.
  using Reply = std::function<void(v1::ApiReply)>;
  using Handler = std::function<void(const v1::ApiRequest&, Reply)>;

  static Result<std::unique_ptr<ApiServer>> open(EventLoop& loop, const std::string& path, Handler handler);
  ~ApiServer();

 private:
  ApiServer(EventLoop& loop, UniqueFd listener, Handler handler);
  void accept_all();
  void on_message(uint64_t id, const ReceivedMessage& received);

  struct Client {
    std::unique_ptr<MessageConnection> connection;
    bool answering = false;  // one request at a time: replies need no number
  };

  EventLoop& loop_;
  UniqueFd listener_;
  Handler handler_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Client> clients_;
};

}  // namespace leat::agent
