// Hosts of ServiceEntries, resolved (c-ares) in the agent's loop, and again whenever an answer's time is over. It asks
// what the node would ask, or the servers of the agent's configuration. What it reads comes from those servers, and is
// parsed by the library; addresses are all that is taken from it.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/event_loop.h"
#include "common/ip.h"
#include "common/result.h"
#include "control/objects.h"

struct ares_addrinfo;
struct ares_channeldata;

namespace leat::agent {

class Resolver {
 public:
  using Changed = std::function<void(const control::HostAnswer&)>;

  // `servers`: ADDRESS or ADDRESS:PORT; none: those of the node's resolv.conf.
  static Result<std::unique_ptr<Resolver>> open(EventLoop& loop, const std::vector<std::string>& servers,
                                                Changed changed);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // Resolves these from now on and forgets others; returns the forgotten ones. `changed` is called, not from here, when
  // the addresses of one are other ones than before (their order alone is no change), or when it has none and the
  // reason is another one. While servers are away the last good answer stays.
  std::vector<std::string> want(const std::set<std::string>& hosts);

 private:
  struct Host {
    control::HostAnswer answer;
    EventLoop::TimerId timer = 0;
    uint32_t failures = 0;  // in a row
    bool asking = false;
    bool wanted = true;
    std::string problem;  // of the last question
  };
  struct Question {
    Resolver* resolver;
    std::string host;
  };

  Resolver(EventLoop& loop, Changed changed) : loop_(loop), changed_(std::move(changed)) {}
  void ask(const std::string& host);
  static void on_answer(void* question, int status, int timeouts, ares_addrinfo* found);
  void answered(const std::string& host, int status, const ares_addrinfo* found);
  void ask_later(Host& host, std::chrono::milliseconds delay);
  void on_socket(int fd, bool reads, bool writes);
  void process(int readable, int writable);
  void arm_timeout();

  EventLoop& loop_;
  Changed changed_;
  ares_channeldata* channel_ = nullptr;
  std::map<std::string, Host> hosts_;
  std::set<int> sockets_;
  EventLoop::TimerId timeout_ = 0;
  bool closing_ = false;
};

}  // namespace leat::agent
