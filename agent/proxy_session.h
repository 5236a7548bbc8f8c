// What one proxy says, checked before anybody acts on it. A proxy parses bytes of strangers, so it is not trusted:
// whatever it sends is well formed, in order, within bounds and within a rate after this, or the connection ends. That
// a named pod is really a captured one of this node is checked by whoever serves the request (broker.h), because an
// honest proxy may ask for a pod that has just gone.
//
// No I/O: bytes in, a message or a violation out.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/result.h"
#include "common/token_bucket.h"
#include "leat.pb.h"

namespace leat::agent {

class ProxySession {
 public:
  using Time = TokenBucket::Time;

  explicit ProxySession(Time now);

  // One message that came with `fds` descriptors. An error is a violation: end the connection. Nothing: of a kind that
  // this version does not know; skip it. Else exactly one kind is set, and:
  //   the first message is Hello, the only one; its listeners, and those of HelloListeners, have one descriptor each,
  //   other kinds none uids, instances and names are 1 … kMaxTextBytes bytes of printable ASCII, no space; addresses
  //   have 4 or 16 bytes; epochs are not 0 an Ack names a generation that was sent; a Revoked names an epoch texts in
  //   flows, counters and certificates hold no control characters (replaced by `?`): they end on a terminal
  Result<std::optional<v1::ToAgent>> accept(std::string_view bytes, size_t fds, Time now);

  // How long to leave this connection unread, because it sends faster than kMessagesASecond.
  [[nodiscard]] std::chrono::milliseconds take_delay();

  void sent(uint64_t generation) { sent_generation_ = generation; }
  [[nodiscard]] bool greeted() const { return greeted_; }
  // All listeners that Hello announced have come.
  [[nodiscard]] bool listeners_complete() const { return greeted_ && listeners_ >= announced_listeners_; }

 private:
  Result<void> check(const v1::Hello& hello, size_t fds);
  Result<void> check(const v1::HelloListeners& more, size_t fds);
  Result<void> check(const v1::Ack& ack) const;

  TokenBucket rate_;
  std::chrono::milliseconds delay_{0};
  bool greeted_ = false;
  size_t listeners_ = 0;
  size_t announced_listeners_ = 0;
  uint64_t sent_generation_ = 0;
};

}  // namespace leat::agent
