// One end of a unix SEQPACKET connection that carries protobuf messages with file descriptors beside them.
//
// A message is cut into frames of at most 64 KiB; each frame starts with one byte: 1 = more frames of this message
// follow, 0 = the last. Descriptors ride on the first frame, at most 200 a message. The socket is non-blocking;
// outgoing frames that do not fit wait in a queue. One thread owns a MessageSocket.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"

namespace google::protobuf {
class MessageLite;
}

namespace leat {

struct ReceivedMessage {
  std::string bytes;
  std::vector<UniqueFd> fds;
};

class MessageSocket {
 public:
  static constexpr size_t kMaxFrameBytes = 64 * 1024;
  static constexpr size_t kMaxFds = 200;

  // `max_message_bytes`: a peer that sends a longer message is broken (kProtocol). `max_queue_bytes`: a peer that does
  // not read is given up (kExhausted) rather than remembered without bound.
  explicit MessageSocket(UniqueFd fd, size_t max_message_bytes = 256u << 20, size_t max_queue_bytes = 512u << 20);

  [[nodiscard]] int fd() const { return fd_.get(); }

  // Queues a message and sends what the socket takes now. `fds` are duplicated by the kernel when sent; the caller
  // keeps its own and must keep them open until queued_bytes() is 0, or hand over ownership in `owned`.
  Result<void> send(const google::protobuf::MessageLite& message, std::vector<UniqueFd> owned = {});
  // Like send(), for descriptors that the caller keeps: they are duplicated here.
  Result<void> send_borrowed(const google::protobuf::MessageLite& message, const std::vector<int>& fds);
  // Call when the socket is writable and wants_write().
  Result<void> flush();
  [[nodiscard]] bool wants_write() const { return !queue_.empty(); }
  [[nodiscard]] size_t queued_bytes() const { return queued_bytes_; }

  // The next whole message, nothing if there is none yet, or an error (kClosed: the peer left).
  Result<std::optional<ReceivedMessage>> receive();

  // A listening socket at `path` (an old socket file is replaced), mode as given.
  static Result<UniqueFd> listen_at(const std::string& path, unsigned mode);
  static Result<UniqueFd> connect_to(const std::string& path);

 private:
  struct Frame {
    std::string bytes;
    std::vector<UniqueFd> fds;
  };
  UniqueFd fd_;
  size_t max_message_bytes_;
  size_t max_queue_bytes_;
  size_t queued_bytes_ = 0;
  std::deque<Frame> queue_;
  ReceivedMessage partial_;
};

}  // namespace leat
