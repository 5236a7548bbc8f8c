#include "userspace-proxy/telemetry/tcp_metrics.h"

namespace leat::proxy {

// Where HTTP is understood its requests are counted instead.
bool TcpMetrics::counts(const FlowFacts& flow) {
  return flow.direction == v1::FLOW_INBOUND || flow.protocol == SeenProtocol::kTcp;
}

TcpMetrics::Labels TcpMetrics::labels_of(const FlowFacts& flow) {
  return {.at_source = flow.direction == v1::FLOW_OUTBOUND,
          .source = Peer::of(flow.source.get()),
          .destination = Peer::of(flow.destination.get()),
          .service = flow.service ? flow.service->key : "",
          .mtls = flow.security == Security::kMtls};
}

void TcpMetrics::add(const FlowFacts& flow, Sums& sums) {
  ++sums.opened;
  sums.sent += flow.bytes.b_to_a;
  sums.received += flow.bytes.a_to_b;
}

void TcpMetrics::closed(const FlowFacts& flow, Clock::time_point now) {
  if (!counts(flow)) return;
  Labels labels = labels_of(flow);
  if (sums_.size() >= limits::kRequestSeries && !sums_.contains(labels))
    labels = {.at_source = labels.at_source, .service = "overflow/overflow"};
  Sums& sums = sums_[std::move(labels)];
  add(flow, sums);
  const bool failed = flow.verdict == Verdict::kFailed || flow.verdict == Verdict::kDenied;
  ++(failed ? sums.failed : sums.closed);
  sums.touched = now;
}

void TcpMetrics::expire(Clock::time_point now) {
  std::erase_if(sums_, [&](const auto& each) { return now - each.second.touched >= limits::kRequestSeriesIdle; });
}

void TcpMetrics::append(std::string_view trust_domain, const std::map<Labels, Sums>& all,
                        std::vector<v1::Counter>* out) {
  for (const auto& [labels, sums] : all) {
    LabelTexts text{{"reporter", labels.at_source ? "source" : "destination"},
                    {"request_protocol", "tcp"},
                    {"response_flags", "-"},
                    {"connection_security_policy", labels.mtls ? "mutual_tls" : "none"}};
    add_peer_labels(labels.source, labels.destination, labels.service, trust_domain, text);
    const auto count = [&](const char* name, uint64_t value) {
      add_counter(name, text, out).set_value(static_cast<double>(value));
    };
    count("istio_tcp_connections_opened_total", sums.opened);
    count("istio_tcp_connections_closed_total", sums.closed);
    count("istio_tcp_sent_bytes_total", sums.sent);
    count("istio_tcp_received_bytes_total", sums.received);
    if (sums.failed == 0) continue;
    text[2].second = "UF";  // no byte came: it could not be established, or was not allowed
    count("istio_tcp_connections_closed_total", sums.failed);
  }
}

}  // namespace leat::proxy
