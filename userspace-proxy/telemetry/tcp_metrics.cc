#include "userspace-proxy/telemetry/tcp_metrics.h"

namespace leat::proxy {

// Where HTTP is understood its requests are counted instead.
bool TcpMetrics::counts(const FlowFacts& flow) {
  return flow.direction == v1::FLOW_INBOUND || flow.protocol == SeenProtocol::kTcp;
}

TcpMetrics::Key TcpMetrics::key_of(const FlowFacts& flow) {
  return {.source = flow.source.get(),
          .destination = flow.destination.get(),
          .service = flow.service.get(),
          .at_source = flow.direction == v1::FLOW_OUTBOUND,
          .mtls = flow.security == Security::kMtls};
}

TcpMetrics::Labels TcpMetrics::labels_of(const Key& key) {
  return {.at_source = key.at_source,
          .source = Peer::of(key.source),
          .destination = Peer::of(key.destination),
          .service = key.service ? key.service->key : "",
          .mtls = key.mtls};
}

void TcpMetrics::add(const FlowFacts& flow, Sums& sums) {
  ++sums.opened;
  sums.sent += flow.bytes.b_to_a;
  sums.received += flow.bytes.a_to_b;
}

void TcpMetrics::Sums::add(const Sums& more) {
  opened += more.opened;
  sent += more.sent;
  received += more.received;
  closed += more.closed;
  failed += more.failed;
}

TcpMetrics::Sums& TcpMetrics::find_or_add(Labels labels, std::map<Labels, Sums>& all) {
  if (all.size() >= limits::kRequestSeries && !all.contains(labels))
    labels = {.at_source = labels.at_source, .service = "overflow/overflow"};
  return all[std::move(labels)];
}

void TcpMetrics::closed(const FlowFacts& flow, Clock::time_point now) {
  if (!counts(flow)) return;
  Sums& sums = find_or_add(labels_of(key_of(flow)), sums_);
  add(flow, sums);
  const bool failed = flow.verdict == Verdict::kFailed || flow.verdict == Verdict::kDenied;
  ++(failed ? sums.failed : sums.closed);
  sums.touched = now;
}

void TcpMetrics::expire(Clock::time_point now) {
  std::erase_if(sums_, [&](const auto& each) { return now - each.second.touched >= limits::kRequestSeriesIdle; });
}

void TcpSeries::report(std::vector<TcpSeries> workers, std::string_view trust_domain, const CounterSink& out) {
  std::map<Labels, Sums> all;
  for (TcpSeries& worker : workers) {
    for (auto& [labels, sums] : worker.sums_) all[labels].add(sums);
    worker.sums_ = {};
  }
  for (const auto& [labels, sums] : all) {
    LabelTexts text{{"reporter", labels.at_source ? "source" : "destination"},
                    {"request_protocol", "tcp"},
                    {"response_flags", "-"},
                    {"connection_security_policy", labels.mtls ? "mutual_tls" : "none"}};
    add_peer_labels(labels.source, labels.destination, labels.service, trust_domain, text);
    const auto count = [&](const char* name, uint64_t value) {
      out(counter_of(name, text, static_cast<double>(value)));
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
