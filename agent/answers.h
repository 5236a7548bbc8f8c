// The replies of the read-only API, each made from what the agent's parts say now. Those that need the proxies (flows,
// certificates, counters, checks) ask all of them, the draining ones too, and are partial where one does not answer in
// time: `error` says so.
#pragma once

#include <optional>

#include "agent/api_server.h"
#include "agent/broker.h"
#include "agent/check.h"
#include "agent/cni/cni_service.h"
#include "agent/config.h"
#include "agent/flow_cursors.h"
#include "agent/flow_view.h"
#include "agent/merge.h"
#include "agent/proxy_channel.h"
#include "agent/reconciler.h"
#include "common/token_bucket.h"

namespace leat::agent {

class Answers {
 public:
  // The agent's parts; they outlive this.
  struct Parts {
    const Config& config;
    const std::string& capabilities;
    capture::Capture& capture;
    Reconciler& reconciler;
    ProxyChannel& channel;
    Broker& broker;
    ClosedFlows& closed_flows;
    std::function<const FlowNames&()> names;  // of the reconciler's present mesh
    // Whether pods' listener slots are empty for lack of a proxy, and since when there is none.
    std::function<bool()> slots_closed;
    std::function<std::optional<std::chrono::system_clock::time_point>()> without_proxy_since;
    std::function<uint64_t()> reset_connections;  // that waited for a proxy in vain
    std::function<std::string()> ca_error;
    std::function<const CniService*()> cni;  // null: not configured
  };

  explicit Answers(Parts parts);
  void answer(const v1::ApiRequest& request, ApiServer::Reply reply);
  // What is counted on this node beside the proxy `instance`, which serves it to the network: the agent's own, and that
  // of other proxies, which drain. Nothing is called where it asks too often.
  void counters_beside(const std::string& instance, const v1::CountersRequest& request,
                       std::function<void(const v1::ToProxy&)> done);

 private:
  void flows(const v1::FlowsRequest& request, ApiServer::Reply reply);
  void add_kernel_flows(const v1::FlowsRequest& request, v1::ApiReply& reply, FlowCursors::Position& position);
  void pods(ApiServer::Reply reply);
  void services(const ApiServer::Reply& reply);
  void certificates(ApiServer::Reply reply);
  void check(ApiServer::Reply reply);
  void version(const ApiServer::Reply& reply);
  void stats(ApiServer::Reply reply);
  void tap(const v1::TapRequest& request, ApiServer::Reply reply);
  CheckFacts facts();
  void add_own_counters(v1::ApiReply& reply);
  void ask_flows(bool open, bool closed, const FlowCursors::Position& position,
                 std::function<void(ProxyChannel::Answers)> done);
  void ask_stats(std::function<void(ProxyChannel::Answers)> done, const std::string& except = {});

  Parts parts_;
  FlowCursors cursors_;
  FlowCursors tap_cursors_;
  TokenBucket counters_rate_;
};

}  // namespace leat::agent
