// A conversation with agents' read-only API: with one over its socket, or with those of all nodes of a cluster, whose
// answers are one answer then.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "cli/kubectl.h"
#include "cli/target.h"
#include "common/message_socket.h"
#include "common/result.h"
#include "leat.pb.h"

namespace leat::cli {

struct NodeReply {
  std::string node;  // empty: there is one agent only, and it was not asked for its name
  v1::ApiReply reply;
};

class AgentClient {
 public:
  static Result<AgentClient> connect(const std::string& path);
  // Fails if no node of a cluster can be asked.
  static Result<AgentClient> connect(const Target& target);

  // Asks, and waits for the whole answer. A partial answer, or one without some of the nodes, has a sentence in its
  // `error`.
  Result<v1::ApiReply> ask(const v1::ApiRequest& request);
  // The same, node by node. Fails if none answers; why others did not goes into the first one's `error`.
  Result<std::vector<NodeReply>> ask_each(const v1::ApiRequest& request);

 private:
  using Deadline = std::chrono::steady_clock::time_point;
  struct Peer {
    std::string node;
    std::variant<MessageSocket, FramedChild> way;
    std::string gone;                            // why it is no longer asked; empty: it is
    uint64_t closed_cursor = 0, tap_cursor = 0;  // its own, where the merged answer has another one
  };

  static Result<void> send(Peer& peer, const v1::ApiRequest& request, Deadline deadline);
  static Result<v1::ApiReply> receive(Peer& peer, Deadline deadline);
  [[nodiscard]] v1::ApiRequest for_peer(const v1::ApiRequest& request, const Peer& peer) const;

  std::vector<std::unique_ptr<Peer>> peers_;
};

// All nodes' answers as one: lists one after the other, counters that are of one name and one set of labels added up,
// the mesh of the newest generation.
v1::ApiReply merge_replies(std::vector<NodeReply> replies);

}  // namespace leat::cli
