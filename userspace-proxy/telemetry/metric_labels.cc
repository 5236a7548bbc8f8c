#include "userspace-proxy/telemetry/metric_labels.h"

#include <fmt/format.h>

#include "common/spiffe.h"

namespace leat::proxy {
namespace {

constexpr std::string_view kUnknown = "unknown";  // Istio's word for a label without a value

std::string or_unknown(std::string_view text) { return std::string(text.empty() ? kUnknown : text); }

}  // namespace

Peer Peer::of(const Workload* workload) {
  if (workload == nullptr) return {};
  return {.namespace_ = workload->namespace_,
          .workload = workload->owner,
          .app = workload->app,
          .version = workload->version,
          .account = workload->captured ? workload->service_account : ""};
}

void add_peer_labels(const Peer& source, const Peer& destination, std::string_view service,
                     std::string_view trust_domain, LabelTexts& out) {
  const auto add_peer = [&](std::string_view side, const Peer& peer) {
    const auto add = [&](std::string_view name, std::string_view value) {
      out.emplace_back(fmt::format("{}_{}", side, name), or_unknown(value));
    };
    add("workload", peer.workload);
    add("workload_namespace", peer.namespace_);
    add("principal",
        peer.account.empty() ? "" : SpiffeId{std::string(trust_domain), peer.namespace_, peer.account}.text());
    add("app", peer.app);
    add("version", peer.version);
  };
  add_peer("source", source);
  add_peer("destination", destination);
  const size_t slash = service.find('/');
  const bool known = slash != std::string_view::npos;
  const std::string_view service_namespace = known ? service.substr(0, slash) : "";
  const std::string_view service_name = known ? service.substr(slash + 1) : "";
  out.emplace_back("destination_service", known
                                              ? fmt::format("{}.{}.svc.cluster.local", service_name, service_namespace)
                                              : std::string(kUnknown));
  out.emplace_back("destination_service_name", or_unknown(service_name));
  out.emplace_back("destination_service_namespace", or_unknown(service_namespace));
}

v1::Counter counter_of(const char* name, const LabelTexts& labels, double value) {
  v1::Counter counter;
  counter.set_name(name);
  counter.set_value(value);
  for (const auto& [label, text] : labels) (*counter.mutable_labels())[label] = text;
  return counter;
}

}  // namespace leat::proxy
