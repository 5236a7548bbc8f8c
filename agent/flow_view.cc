#include "agent/flow_view.h"

#include <cstring>
#include <utility>

#include "agent/limits.h"

namespace leat::agent {
namespace {

constexpr int32_t kKernel = -1;  // Flow.worker

int64_t unix_ms(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

}  // namespace

FlowNames::FlowNames(const std::string& node, v1::Mesh local, Elsewhere elsewhere)
    : node_(node), local_(std::move(local)), elsewhere_(std::move(elsewhere)) {
  for (const v1::Workload& pod : local_.workloads()) {
    captured_pods_.push_back(&pod);
    by_index_.emplace(pod.pod_index(), &pod);
  }
}

v1::Flow FlowNames::direct(const capture::DirectFlow& direct) const {
  v1::Flow flow;
  flow.set_id(direct.socket_cookie);
  flow.set_node(node_);
  flow.set_direction(v1::FLOW_OUTBOUND);
  flow.set_path(v1::PATH_DIRECT);
  name_source(flow, workload_of_index(direct.client_pod));
  flow.set_source_address(direct.client.ip.wire());
  flow.set_source_port(direct.client.port);
  name_destination(flow, workload_of_index(direct.backend_pod));
  flow.set_destination_service(service_of(direct.requested.ip));
  flow.set_destination_address(direct.backend.ip.wire());
  flow.set_destination_port(direct.backend.port);
  flow.set_requested_address(direct.requested.ip.wire());
  flow.set_requested_port(direct.requested.port);
  flow.set_security("same node");
  flow.set_protocol("tcp");
  flow.set_bytes_sent(direct.bytes_sent);
  flow.set_bytes_received(direct.bytes_received);
  flow.set_opened_ms(unix_ms(direct.opened));
  flow.set_worker(kKernel);
  flow.set_attempts(1);
  const bool open = direct.closed == std::chrono::system_clock::time_point{};
  if (!open) flow.set_closed_ms(unix_ms(direct.closed));
  flow.set_verdict(open ? "open" : direct.error == 0 ? "ok" : direct.established ? "reset" : "failed");
  if (direct.error != 0) flow.set_reason(std::strerror(direct.error));
  return flow;
}

v1::Flow FlowNames::untouched(const capture::UntouchedFlow& untouched, const v1::Workload& pod) const {
  v1::Flow flow;
  flow.set_id(untouched.inode);
  flow.set_node(node_);
  flow.set_path(v1::PATH_UNTOUCHED);
  flow.set_security("-");
  flow.set_protocol("tcp");
  flow.set_worker(kKernel);
  flow.set_verdict("open");
  const std::optional<v1::Workload> known = elsewhere_.workload_at(untouched.remote.ip);
  const v1::Workload* peer = known ? &*known : nullptr;
  const SocketAddress& source = untouched.inbound ? untouched.remote : untouched.local;
  const SocketAddress& destination = untouched.inbound ? untouched.local : untouched.remote;
  flow.set_direction(untouched.inbound ? v1::FLOW_INBOUND : v1::FLOW_OUTBOUND);
  name_source(flow, untouched.inbound ? peer : &pod);
  name_destination(flow, untouched.inbound ? &pod : peer);
  flow.set_source_address(source.ip.wire());
  flow.set_source_port(source.port);
  flow.set_destination_service(service_of(destination.ip));
  flow.set_destination_address(destination.ip.wire());
  flow.set_destination_port(destination.port);
  flow.set_requested_address(destination.ip.wire());
  flow.set_requested_port(destination.port);
  flow.set_bytes_sent(untouched.inbound ? untouched.bytes_received : untouched.bytes_sent);
  flow.set_bytes_received(untouched.inbound ? untouched.bytes_sent : untouched.bytes_received);
  const bool peer_in_mesh = peer != nullptr ? peer->captured() : !flow.destination_service().empty();
  flow.set_reason(peer_in_mesh ? "older than the enrolment, or excluded" : "not in the mesh");
  return flow;
}

std::string FlowNames::pod_of_index(uint32_t index) const {
  const v1::Workload* pod = workload_of_index(index);
  return pod == nullptr ? "" : pod->namespace_() + "/" + pod->name();
}

void FlowNames::name_source(v1::Flow& flow, const v1::Workload* pod) const {
  if (pod == nullptr) return;
  flow.set_source_namespace(pod->namespace_());
  flow.set_source_pod(pod->name());
}

void FlowNames::name_destination(v1::Flow& flow, const v1::Workload* pod) const {
  if (pod == nullptr) return;
  flow.set_destination_namespace(pod->namespace_());
  flow.set_destination_pod(pod->name());
}

const v1::Workload* FlowNames::workload_of_index(uint32_t index) const {
  const auto found = by_index_.find(index);
  return found == by_index_.end() ? nullptr : found->second;
}

std::string FlowNames::service_of(const IpAddress& vip) const {
  const auto service = elsewhere_.service_at(vip);
  return service ? service->text() : "";
}

void ClosedFlows::add(v1::Flow flow) {
  flow.set_closed_sequence(next_++);
  flows_.push_back(std::move(flow));
  if (flows_.size() > limits::kMaxClosedDirectFlows) flows_.pop_front();
}

uint64_t ClosedFlows::since(uint64_t sequence, google::protobuf::RepeatedPtrField<v1::Flow>& out) const {
  for (const v1::Flow& flow : flows_) {
    if (flow.closed_sequence() > sequence) *out.Add() = flow;
  }
  return next_ - 1;
}

}  // namespace leat::agent
