// agent/cni/: what the agent does for leat-cni, which a container runtime calls for each pod. From the bottom up:
//
//   server.h        cni.sock: questions in, answers out            pod_gate.h      holds a pod back until it is
//   captured netns_entry.h   the namespace's entry that the agent can enter  late_pods.h     pods that started
//   uncaptured enrolled_file.h what the plugin reads while no agent answers
//
// Used by the agent's one thread. This file: the socket. Only root may ask: the answer lets a pod start, and the
// question says which namespace is whose.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/cni_message.h"
#include "common/event_loop.h"
#include "common/result.h"
#include "common/unique_fd.h"

namespace leat::agent {

struct CniQuestion {
  cni::Request request;
  UniqueFd netns;  // of an ADD or CHECK, if the plugin could open it
};

class CniServer {
 public:
  // Called once a question, now or later; nothing happens if the plugin has left.
  using Answer = std::function<void(const cni::Reply&)>;
  using Handler = std::function<void(CniQuestion, Answer)>;

  static Result<std::unique_ptr<CniServer>> open(EventLoop& loop, const std::string& path, Handler handler);
  ~CniServer();

  [[nodiscard]] uint64_t refused() const { return refused_; }  // strangers, and what is no question

 private:
  struct Client {
    UniqueFd socket;
    EventLoop::TimerId timer = 0;  // until it has asked
    bool asked = false;
  };

  CniServer(EventLoop& loop, UniqueFd listener, Handler handler);
  void accept_all();
  void on_readable(uint64_t id);
  void answer(uint64_t id, const cni::Reply& reply);
  void drop(uint64_t id);

  EventLoop& loop_;
  UniqueFd listener_;
  Handler handler_;
  uint64_t next_id_ = 1;
  uint64_t refused_ = 0;
  std::map<uint64_t, Client> clients_;
};

// One packet and the descriptor beside it. Nothing: not a question. For the server, and for fuzzers.
std::optional<CniQuestion> read_cni_question(std::string_view packet, UniqueFd descriptor);

}  // namespace leat::agent
