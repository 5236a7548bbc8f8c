#include "cli/agent_client.h"

#include <poll.h>

#include <algorithm>

namespace leat::cli {
namespace {

constexpr std::chrono::seconds kAnswerDeadline{10};   // the agent itself gives up on a silent proxy long before
constexpr std::chrono::seconds kClusterDeadline{30};  // kubectl logs in first

Result<void> wait_for(int fd, short events, std::chrono::steady_clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  pollfd ready{fd, events, 0};
  const int count = left.count() <= 0 ? 0 : ::poll(&ready, 1, static_cast<int>(left.count()));
  if (count < 0 && errno != EINTR) return fail_errno(errno, "poll");
  if (count == 0) return fail(ErrorCode::kTimeout, "it did not answer within {} s", kAnswerDeadline.count());
  return {};
}

void add_sentence(std::string& text, const std::string& sentence) {
  if (sentence.empty()) return;
  text += (text.empty() ? "" : "; ") + sentence;
}

void add_histogram(v1::Histogram& sum, const v1::Histogram& other) {
  if (sum.counts_size() != other.counts_size()) return;
  for (int i = 0; i < other.counts_size(); ++i) sum.set_counts(i, sum.counts(i) + other.counts(i));
  sum.set_sum(sum.sum() + other.sum());
}

void add_counters(v1::ApiReply& out, const v1::ApiReply& from, std::map<std::string, int>& known) {
  for (const v1::Counter& counter : from.counters()) {
    std::map<std::string, std::string> labels(counter.labels().begin(), counter.labels().end());
    std::string key = counter.name();
    for (const auto& [name, value] : labels) key += '\0' + name + '\0' + value;
    const auto [found, fresh] = known.try_emplace(std::move(key), out.counters_size());
    if (fresh) {
      *out.add_counters() = counter;
      continue;
    }
    v1::Counter& sum = *out.mutable_counters(found->second);
    sum.set_value(sum.value() + counter.value());
    if (counter.has_histogram()) add_histogram(*sum.mutable_histogram(), counter.histogram());
  }
}

}  // namespace

Result<AgentClient> AgentClient::connect(const std::string& path) {
  LEAT_TRY(UniqueFd fd, MessageSocket::connect_to(path));
  AgentClient client;
  client.peers_.push_back(std::make_unique<Peer>(Peer{.node = {}, .way = MessageSocket(std::move(fd)), .gone = {}}));
  return client;
}

Result<AgentClient> AgentClient::connect(const Target& target) {
  if (!target.cluster) return connect(target.socket);
  const ClusterTarget& cluster = *target.cluster;
  LEAT_TRY(const std::string list,
           run_kubectl(cluster, {"get", "pods", "-n", cluster.ns, "-l", kProxySelector, "-o", "json"}));
  LEAT_TRY(const std::vector<ProxyPod> pods, read_proxy_pods(list, cluster.node));
  if (pods.empty()) {
    return fail(ErrorCode::kNotFound, "no proxy of Leat runs {} in the namespace {}",
                cluster.node.empty() ? "on any node" : "on node " + cluster.node, cluster.ns);
  }
  AgentClient client;
  std::string why;
  for (const ProxyPod& pod : pods) {
    std::vector<std::string> words = kubectl_words(cluster);
    words.insert(words.end(), {"exec", "-i", "-n", cluster.ns, pod.name, "-c", "proxy", "--", "leat", "relay"});
    auto child = FramedChild::start(words);
    if (!child) return std::unexpected(child.error());
    client.peers_.push_back(std::make_unique<Peer>(Peer{.node = pod.node, .way = std::move(*child), .gone = {}}));
  }
  return client;
}

// ---------------------------------------------------------------- one peer

Result<void> AgentClient::send(Peer& peer, const v1::ApiRequest& request, Deadline deadline) {
  if (auto* child = std::get_if<FramedChild>(&peer.way)) return child->send(request.SerializeAsString());
  auto& socket = std::get<MessageSocket>(peer.way);
  LEAT_TRY_VOID(socket.send(request));
  while (socket.wants_write()) {
    LEAT_TRY_VOID(wait_for(socket.fd(), POLLOUT, deadline));
    LEAT_TRY_VOID(socket.flush());
  }
  return {};
}

Result<v1::ApiReply> AgentClient::receive(Peer& peer, Deadline deadline) {
  std::string bytes;
  if (auto* child = std::get_if<FramedChild>(&peer.way)) {
    LEAT_TRY(bytes, child->receive(deadline));
  } else {
    auto& socket = std::get<MessageSocket>(peer.way);
    std::optional<ReceivedMessage> message;
    while (!message) {
      LEAT_TRY_VOID(wait_for(socket.fd(), POLLIN, deadline));
      LEAT_TRY(message, socket.receive());
    }
    bytes = std::move(message->bytes);
  }
  v1::ApiReply reply;
  if (!reply.ParseFromString(bytes)) return fail(ErrorCode::kProtocol, "its answer can't be read");
  return reply;
}

// Each agent counts for itself: of several, each is asked from where it was left.
v1::ApiRequest AgentClient::for_peer(const v1::ApiRequest& request, const Peer& peer) const {
  v1::ApiRequest own = request;
  if (peers_.size() == 1) return own;
  if (own.has_flows() && own.flows().closed_since_sequence() != 0)
    own.mutable_flows()->set_closed_since_sequence(peer.closed_cursor);
  if (own.has_tap() && own.tap().since_sequence() != 0) own.mutable_tap()->set_since_sequence(peer.tap_cursor);
  return own;
}

// ---------------------------------------------------------------- all of them

Result<std::vector<NodeReply>> AgentClient::ask_each(const v1::ApiRequest& request) {
  const bool local = std::holds_alternative<MessageSocket>(peers_.front()->way);
  const auto deadline = std::chrono::steady_clock::now() + (local ? kAnswerDeadline : kClusterDeadline);
  std::vector<NodeReply> replies;
  std::string missing;
  Error last;
  const auto lose = [&](Peer& peer, const Error& error) {
    last = error;
    peer.gone = peer.node.empty() ? error.message : fmt::format("{}: {}", peer.node, error.message);
  };
  // All are asked before the first is heard: they answer side by side.
  for (const auto& peer : peers_) {
    if (!peer->gone.empty()) continue;
    if (const auto sent = send(*peer, for_peer(request, *peer), deadline); !sent) lose(*peer, sent.error());
  }
  for (const auto& peer : peers_) {
    if (peer->gone.empty()) {
      auto reply = receive(*peer, deadline);
      if (reply) {
        peer->closed_cursor = reply->next_closed_sequence();
        peer->tap_cursor = reply->next_tap_sequence();
        replies.push_back({.node = peer->node, .reply = std::move(*reply)});
        continue;
      }
      lose(*peer, reply.error());
    }
    add_sentence(missing, peer->gone);
  }
  if (replies.empty()) {
    last.message = missing;
    return std::unexpected(last);
  }
  add_sentence(*replies.front().reply.mutable_error(), missing);
  return replies;
}

Result<v1::ApiReply> AgentClient::ask(const v1::ApiRequest& request) {
  LEAT_TRY(std::vector<NodeReply> replies, ask_each(request));
  return merge_replies(std::move(replies));
}

v1::ApiReply merge_replies(std::vector<NodeReply> replies) {
  if (replies.size() == 1) return std::move(replies.front().reply);
  const auto newest =
      std::ranges::max_element(replies, {}, [](const NodeReply& one) { return one.reply.mesh().workloads_size(); });
  v1::ApiReply out;
  std::map<std::string, int> counters;
  *out.mutable_mesh() = newest->reply.mesh();
  *out.mutable_route_statuses() = newest->reply.route_statuses();
  uint64_t dropped = 0;
  for (NodeReply& each : replies) {
    v1::ApiReply& reply = each.reply;
    const std::string said = reply.error().empty() || each.node.empty() || reply.error().starts_with(each.node)
                                 ? reply.error()
                                 : fmt::format("{}: {}", each.node, reply.error());
    add_sentence(*out.mutable_error(), said);
    out.mutable_flows()->MergeFrom(reply.flows());
    out.mutable_tapped()->MergeFrom(reply.tapped());
    out.mutable_pods()->MergeFrom(reply.pods());
    out.mutable_certificates()->MergeFrom(reply.certificates());
    out.mutable_check()->MergeFrom(reply.check());
    out.mutable_findings()->MergeFrom(reply.findings());
    add_counters(out, reply, counters);
    dropped += reply.tap_dropped();
    // Not nothing: whoever gives it back has heard of everybody.
    out.set_next_closed_sequence(std::max(out.next_closed_sequence(), reply.next_closed_sequence()));
    out.set_next_tap_sequence(std::max(out.next_tap_sequence(), reply.next_tap_sequence()));
  }
  out.set_tap_dropped(dropped);
  return out;
}

}  // namespace leat::cli
