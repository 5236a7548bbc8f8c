// The counters of a worker under their names for `leat stats` and metrics.
#include <algorithm>
#include <array>

#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {
namespace {

class Report {
 public:
  Report(std::vector<v1::Counter>* out, int worker) : out_(out), worker_(std::to_string(worker)) {}

  v1::Counter& add(std::string_view metric, uint64_t value, bool gauge = false) {
    v1::Counter& counter = out_->emplace_back();
    counter.set_name(std::string(metric));
    counter.set_value(static_cast<double>(value));
    counter.set_gauge(gauge);
    (*counter.mutable_labels())["worker"] = worker_;
    return counter;
  }

 private:
  std::vector<v1::Counter>* out_;
  std::string worker_;
};

void set_label(v1::Counter& counter, const char* key, std::string_view value) {
  (*counter.mutable_labels())[key] = std::string(value);
}

// What all workers know together of one port; the families share all but the endpoints.
void report_pool(const Service& service, const Service::Port& port, Clock::time_point now, const CounterSink& out) {
  const auto add = [&](const char* metric, uint64_t value, const char* limit, bool gauge = false) {
    LabelTexts labels{
        {"destination_service", service.key}, {"port", std::to_string(port.port)}, {"subset", port.subset}};
    if (*limit) labels.emplace_back("limit", limit);
    if (!service.rule.empty()) labels.emplace_back("rule", service.rule);
    v1::Counter counter = counter_of(metric, labels, static_cast<double>(value));
    counter.set_gauge(gauge);
    out(std::move(counter));
  };
  const LivePool::State& live = port.live->state;
  if (port.policy->outliers) {
    const auto ejected_of = [&](const Service::Port& family) {
      return std::ranges::count_if(family.backends, [&](const Backend& each) { return is_ejected(each, now); });
    };
    const auto ejected = ejected_of(port) + ejected_of(*service.find_port(port.port, true, port.subset));
    add("leat_ejections_total", live.ejections, "");
    add("leat_endpoints_ejected", static_cast<uint64_t>(ejected), "", true);
  }
  constexpr std::array kLimits{std::pair(Limit::kConnections, "connections"), std::pair(Limit::kPending, "pending"),
                               std::pair(Limit::kRequests, "requests"), std::pair(Limit::kRetries, "retries")};
  for (const auto& [limit, word] : kLimits) {
    if (Place::most(port, limit) > 0) add("leat_overflows_total", live.refused[static_cast<size_t>(limit)], word);
  }
}

}  // namespace

void report_pools(const Mesh& mesh, Clock::time_point now, const CounterSink& out) {
  const auto report = [&](const Service& service) {
    for (const Service::Port& port : service.ports) {
      if (port.policy && !port.ipv6) report_pool(service, port, now, out);
    }
  };
  mesh.each_service([&](const Service& service) {
    report(service);
    for (const Service::ClientRule& rule : service.client_rules) report(*rule.service);
  });
}

void Worker::report(std::shared_ptr<WorkerReport> out, std::function<void()> done) {
  if (requests.copy(out->requests, limits::kSeriesATurn))
    return loop.post([this, out = std::move(out), done = std::move(done)] { report(out, done); });
  connections.copy([&](const auto& visit) { flows.for_each_open(visit); }, out->connections);
  report_own(&out->counters);
  done();
}

void Worker::report_own(std::vector<v1::Counter>* out) const {
  Report report(out, options_.index);
  for (const auto direction : {v1::FLOW_OUTBOUND, v1::FLOW_INBOUND}) {
    const char* word = direction == v1::FLOW_OUTBOUND ? "outbound" : "inbound";
    set_label(report.add("leat_flows_opened_total", flows.opened(direction)), "direction", word);
    set_label(report.add("leat_flow_sent_bytes_total", flows.closed_bytes(direction).a_to_b), "direction", word);
    set_label(report.add("leat_flow_received_bytes_total", flows.closed_bytes(direction).b_to_a), "direction", word);
    for (size_t i = 0; i < static_cast<size_t>(Reason::kCount); ++i) {
      const auto reason = static_cast<Reason>(i);
      if (flows.closed(direction, reason) == 0) continue;
      v1::Counter& counter = report.add("leat_flows_closed_total", flows.closed(direction, reason));
      set_label(counter, "direction", word);
      set_label(counter, "reason", name(reason));
    }
  }
  set_label(report.add("leat_metric_series", requests.series(), true), "of", "requests");
  set_label(report.add("leat_metric_series", connections.series(), true), "of", "connections");
  report.add("leat_spans_sent_total", spans.counters().sent);
  for (const auto& [reason, count] :
       {std::pair("queue-full", spans.counters().queue_full), std::pair("refused", spans.counters().refused),
        std::pair("unreachable", spans.counters().unreachable)})
    set_label(report.add("leat_spans_dropped_total", count), "reason", reason);
  report.add("leat_spans_waiting", spans.waiting(), true);
  report.add("leat_access_log_lines_total", access_log.lines());
  set_label(report.add("leat_access_log_dropped_total", access_log.over_rate()), "reason", "over-rate");
  set_label(report.add("leat_access_log_dropped_total", access_log.unread()), "reason", "unread");
  report.add("leat_flows_open", flows.open_flows(), true);
  report.add("leat_accepted_total", accepted_);
  report.add("leat_accepted_unknown_pod_total", unknown_pod_);
  report.add("leat_listeners", acceptors_.size(), true);
  report.add("leat_spare_sockets", broker.spare(), true);
  set_label(report.add("leat_tunnels_open", tunnels.tunnels(), true), "direction", "outbound");
  set_label(report.add("leat_tunnels_open", inbound_tunnels.size(), true), "direction", "inbound");
  report.add("leat_hbone_streams_opened_total", hbone.streams_opened);
  report.add("leat_hbone_streams_accepted_total", hbone.streams_accepted);
  report.add("leat_hbone_streams_refused_total", hbone.streams_refused);
  report.add("leat_hbone_resets_received_total", hbone.resets_received);
  report.add("leat_hbone_resets_sent_total", hbone.resets_sent);
  for (size_t i = 0; i < static_cast<size_t>(hbone::Breach::kCount); ++i) {
    if (hbone.breaches[i] > 0)
      set_label(report.add("leat_hbone_breaches_total", hbone.breaches[i]), "reason",
                hbone::name(static_cast<hbone::Breach>(i)));
  }
  for (size_t i = 0; i < static_cast<size_t>(http2::Breach::kCount); ++i) {
    if (http2.breaches[i] > 0)
      set_label(report.add("leat_http2_breaches_total", http2.breaches[i]), "reason",
                http2::name(static_cast<http2::Breach>(i)));
  }
  report.add("leat_http2_resets_received_total", http2.resets_received);
  report.add("leat_http2_resets_sent_total", http2.resets_sent);
  report.add("leat_http2_clients_open", http2_clients.size(), true);
  report.add("leat_http2_upstreams_open", http2_upstreams.connections(), true);
  report.add("leat_http2_upstreams_dialled_total", http2_upstreams.dialled());
  report.add("leat_http_clients_idle", http.idle(), true);
  report.add("leat_http_upstreams_idle", upstreams.idle(), true);
  report.add("leat_http_upstreams_reused_total", upstreams.reused());
  set_label(report.add("leat_mirrored_requests_total", mirrors.sent), "result", "sent");
  set_label(report.add("leat_mirrored_requests_total", mirrors.failed), "result", "failed");
  set_label(report.add("leat_mirrored_requests_total", mirrors.dropped), "result", "dropped");
  for (const auto& [result, count] :
       {std::pair("named", hellos.named), std::pair("unnamed", hellos.unnamed), std::pair("not-tls", hellos.not_tls),
        std::pair("too-large", hellos.too_large), std::pair("late", hellos.late)})
    set_label(report.add("leat_client_hellos_total", count), "result", result);
  report.add("leat_http_retries_total", retry_budgets.retries());
  report.add("leat_http_retries_refused_total", retry_budgets.refused());
  set_label(report.add("leat_hedges_total", hedges.sent), "result", "sent");
  set_label(report.add("leat_hedges_total", hedges.won), "result", "won");
  set_label(report.add("leat_hedges_total", hedges.refused), "result", "refused");
  report.add("leat_http_replay_bytes", replay_bytes, true);
  report.add("leat_loop_turns_total", loop.counters().turns);
  report.add("leat_loop_starved_turns_total", loop.counters().starved_turns);
  report.add("leat_loop_accept_backoffs_total", loop.counters().accept_backoffs);
  report.add("leat_buffer_blocks_free", loop.buffers().free_blocks(), true);
}

}  // namespace leat::proxy
