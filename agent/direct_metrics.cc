#include "agent/direct_metrics.h"

#include <map>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "common/spiffe.h"

namespace leat::agent {
namespace {

using Labels = std::map<std::string, std::string>;

std::string or_unknown(std::string text) { return text.empty() ? "unknown" : std::move(text); }

std::string label_of(const v1::Workload& pod, const char* name) {
  const auto found = pod.labels().find(name);
  return found == pod.labels().end() ? "" : found->second;
}

void add_peer(const std::string& side, const v1::Workload& pod, std::string_view trust_domain, Labels& labels) {
  labels[side + "_workload"] = or_unknown(pod.owner());
  labels[side + "_workload_namespace"] = or_unknown(pod.namespace_());
  labels[side + "_principal"] = SpiffeId{std::string(trust_domain), pod.namespace_(), pod.service_account()}.text();
  labels[side + "_app"] = or_unknown(label_of(pod, "app"));
  labels[side + "_version"] = or_unknown(label_of(pod, "version"));
}

Labels labels_of(const v1::Workload& client, const v1::Workload& backend, const std::optional<control::Name>& service,
                 std::string_view trust_domain) {
  Labels labels{{"request_protocol", "tcp"}, {"response_flags", "-"}, {"connection_security_policy", "none"}};
  add_peer("source", client, trust_domain, labels);
  add_peer("destination", backend, trust_domain, labels);
  labels["destination_service"] =
      service ? fmt::format("{}.{}.svc.cluster.local", service->name, service->ns) : "unknown";
  labels["destination_service_name"] = service ? service->name : "unknown";
  labels["destination_service_namespace"] = service ? service->ns : "unknown";
  return labels;
}

}  // namespace

void add_direct_tcp(const FlowNames& names, std::string_view trust_domain,
                    const std::vector<capture::DirectEdge>& edges, v1::ApiReply& reply) {
  std::map<std::pair<std::string, Labels>, double> sums;
  for (const capture::DirectEdge& edge : edges) {
    const v1::Workload* client = names.workload_of_index(edge.client_pod);
    const v1::Workload* backend = names.workload_of_index(edge.backend_pod);
    if (client == nullptr || backend == nullptr) continue;
    Labels labels = labels_of(*client, *backend, names.service_of_alias(edge.alias_id), trust_domain);
    for (const char* reporter : {"source", "destination"}) {
      labels["reporter"] = reporter;
      sums[{"istio_tcp_connections_opened_total", labels}] += static_cast<double>(edge.opened);
      sums[{"istio_tcp_connections_closed_total", labels}] += static_cast<double>(edge.closed);
      sums[{"istio_tcp_sent_bytes_total", labels}] += static_cast<double>(edge.bytes_received);  // to the client
      sums[{"istio_tcp_received_bytes_total", labels}] += static_cast<double>(edge.bytes_sent);
    }
  }
  for (v1::Counter& counter : *reply.mutable_counters()) {
    if (!counter.name().starts_with("istio_tcp_")) continue;
    const auto direct = sums.find({counter.name(), {counter.labels().begin(), counter.labels().end()}});
    if (direct == sums.end()) continue;
    counter.set_value(counter.value() + direct->second);
    sums.erase(direct);
  }
  for (const auto& [key, value] : sums) {
    v1::Counter& counter = *reply.add_counters();
    counter.set_name(key.first);
    counter.mutable_labels()->insert(key.second.begin(), key.second.end());
    counter.set_value(value);
  }
}

}  // namespace leat::agent
