// The counters of a worker under their names for `leat stats` and metrics.
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

}  // namespace

void Worker::report(std::vector<v1::Counter>* out) const {
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
  requests.report(mesh_->settings().trust_domain(), out);
  report.add("leat_request_series", requests.series(), true);
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
  report.add("leat_http_clients_idle", http.idle(), true);
  report.add("leat_http_upstreams_idle", upstreams.idle(), true);
  report.add("leat_http_upstreams_reused_total", upstreams.reused());
  report.add("leat_loop_turns_total", loop.counters().turns);
  report.add("leat_loop_starved_turns_total", loop.counters().starved_turns);
  report.add("leat_loop_accept_backoffs_total", loop.counters().accept_backoffs);
  report.add("leat_buffer_blocks_free", loop.buffers().free_blocks(), true);
}

}  // namespace leat::proxy
