// Answers GET and HEAD of /metrics, /healthz and /readyz, one request a connection. When all places are taken, the
// oldest connection makes room: a slow reader keeps no probe out.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "common/event_loop.h"
#include "common/exposition.h"
#include "common/ip.h"
#include "userspace-proxy/ring/buffer.h"

namespace leat::proxy::scrape {

using ExpositionPtr = std::shared_ptr<const Exposition>;

class Server {
 public:
  struct Answers {
    // Calls what it is given, later and on this thread, with all that is counted.
    std::function<void(std::function<void(ExpositionPtr)>)> metrics;
    // Why not; nothing: it is so.
    std::function<std::optional<std::string>()> healthy, ready;
  };
  struct Counters {
    uint64_t requests = 0;
    uint64_t ended = 0;  // before their answer was sent: too slow, or others came
  };

  Server(EventLoop& loop, UniqueFd listener, Answers answers);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  class Connection;
  using Connections = std::list<std::unique_ptr<Connection>>;

  void accept_some();

  EventLoop& loop_;
  UniqueFd listener_;
  Answers answers_;
  ring::BufferPool blocks_;
  Connections connections_;  // the oldest first
  Counters counters_;
};

// A socket that listens there, beside one of another proxy of this user: a replacement needs no gap.
Result<UniqueFd> listen_at(const SocketAddress& address);

}  // namespace leat::proxy::scrape
