#include "common/message_connection.h"

namespace leat {

MessageConnection::MessageConnection(EventLoop& loop, MessageSocket socket, Handlers handlers)
    : loop_(loop), socket_(std::move(socket)), handlers_(std::move(handlers)), interest_(EPOLLIN) {
  loop_.watch(socket_.fd(), interest_, [this](uint32_t events) { on_events(events); });
}

MessageConnection::~MessageConnection() {
  loop_.forget(socket_.fd());
  loop_.cancel(pause_timer_);
  loop_.cancel(close_timer_);
}

void MessageConnection::send(const google::protobuf::MessageLite& message) { after_send(socket_.send(message)); }

void MessageConnection::send_borrowed(const google::protobuf::MessageLite& message, const std::vector<int>& fds) {
  after_send(socket_.send_borrowed(message, fds));
}

void MessageConnection::send_owned(const google::protobuf::MessageLite& message, std::vector<UniqueFd> fds) {
  after_send(socket_.send(message, std::move(fds)));
}

void MessageConnection::pause_reading(std::chrono::milliseconds time) {
  if (paused_) return;
  paused_ = true;
  update_interest();
  pause_timer_ = loop_.after(time, [this] {
    paused_ = false;
    update_interest();
  });
}

void MessageConnection::close(Error reason) {
  if (close_timer_ != 0) return;
  update_interest();
  // From the loop: the caller may be a handler of this connection, which `closed` would destroy under its feet.
  close_timer_ = loop_.after(std::chrono::milliseconds(0), [this, reason = std::move(reason)] {
    const auto closed = std::move(handlers_.closed);
    closed(reason);
  });
}

void MessageConnection::on_events(uint32_t events) {
  if (events & EPOLLOUT) after_send(socket_.flush());
  // A hang-up is seen by reading to the end: what the peer said before it left counts. It can't be masked, so it ends a
  // pause.
  if (events & (EPOLLHUP | EPOLLERR)) paused_ = false;
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_some();
}

void MessageConnection::read_some() {
  for (int i = 0; i < kMessagesATurn && !paused_ && close_timer_ == 0; ++i) {
    auto received = socket_.receive();
    if (!received) return close(std::move(received).error());
    if (!*received) return;
    handlers_.message(std::move(**received));
  }
}

void MessageConnection::after_send(const Result<void>& sent) {
  if (!sent) return close(sent.error());
  update_interest();
}

void MessageConnection::update_interest() {
  const uint32_t wanted = (paused_ ? 0u : EPOLLIN) | (socket_.wants_write() ? EPOLLOUT : 0u);
  if (wanted == interest_) return;
  interest_ = wanted;
  loop_.set_events(socket_.fd(), wanted);
}

}  // namespace leat
