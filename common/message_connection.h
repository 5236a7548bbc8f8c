// A MessageSocket on an EventLoop: whole messages in, messages out, and one call when the peer is gone. Reads a bounded
// number of messages a turn, so that no peer keeps the others waiting, and more slowly than that where its owner says
// so.
#pragma once

#include <functional>

#include "common/event_loop.h"
#include "common/message_socket.h"

namespace leat {

class MessageConnection {
 public:
  static constexpr int kMessagesATurn = 256;  // read from one connection before the others have their turn

  struct Handlers {
    // Must not destroy the connection; call close() for that.
    std::function<void(ReceivedMessage)> message;
    // The last call, with the reason. The owner may destroy the connection in it.
    std::function<void(const Error&)> closed;
  };

  MessageConnection(EventLoop& loop, MessageSocket socket, Handlers handlers);
  ~MessageConnection();
  MessageConnection(const MessageConnection&) = delete;
  MessageConnection& operator=(const MessageConnection&) = delete;

  // A failed send ends the connection: `closed` is called, from the loop, not from inside send().
  void send(const google::protobuf::MessageLite& message);
  void send_borrowed(const google::protobuf::MessageLite& message, const std::vector<int>& fds);
  void send_owned(const google::protobuf::MessageLite& message, std::vector<UniqueFd> fds);

  void pause_reading(std::chrono::milliseconds time);
  void close(Error reason);  // `closed` is called from the loop soon; nothing is delivered before it

 private:
  void on_events(uint32_t events);
  void read_some();
  void after_send(const Result<void>& sent);
  void update_interest();

  EventLoop& loop_;
  MessageSocket socket_;
  Handlers handlers_;
  EventLoop::TimerId pause_timer_ = 0;
  EventLoop::TimerId close_timer_ = 0;
  bool paused_ = false;
  uint32_t interest_ = 0;
};

}  // namespace leat
