#include "agent/answers.h"

#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "agent/direct_metrics.h"
#include "agent/limits.h"

namespace leat::agent {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::system_clock;

int64_t unix_ms(system_clock::time_point time) { return duration_cast<milliseconds>(time.time_since_epoch()).count(); }

std::string kernel_release() {
  utsname name{};
  uname(&name);
  return name.release;
}

using Labels = std::map<std::string, std::string>;

void add_counter(v1::ApiReply& reply, const char* name, double value, const Labels& labels = {}, bool gauge = false) {
  v1::Counter& counter = *reply.add_counters();
  counter.set_name(name);
  counter.set_value(value);
  counter.set_gauge(gauge);
  for (const auto& [label, text] : labels) (*counter.mutable_labels())[label] = text;
}

}  // namespace

Answers::Answers(Parts parts)
    : parts_(std::move(parts)),
      cursors_(static_cast<uint64_t>(unix_ms(system_clock::now()))),
      tap_cursors_(static_cast<uint64_t>(unix_ms(system_clock::now()))),
      counters_rate_(limits::kCountersASecond, limits::kCountersBurst, Clock::now()) {}

void Answers::answer(const v1::ApiRequest& request, ApiServer::Reply reply) {
  switch (request.kind_case()) {
    case v1::ApiRequest::kFlows:
      return flows(request.flows(), std::move(reply));
    case v1::ApiRequest::kPods:
      return pods(std::move(reply));
    case v1::ApiRequest::kServices:
      return services(reply);
    case v1::ApiRequest::kCertificates:
      return certificates(std::move(reply));
    case v1::ApiRequest::kCheck:
      return check(std::move(reply));
    case v1::ApiRequest::kVersion:
      return version(reply);
    case v1::ApiRequest::kStats:
      return stats(std::move(reply));
    case v1::ApiRequest::kTap:
      return tap(request.tap(), std::move(reply));
    case v1::ApiRequest::KIND_NOT_SET:
      break;
  }
  v1::ApiReply unknown;
  unknown.set_error(
      fmt::format("this agent (version {}) does not know the request; use `leat` of the same version", LEAT_VERSION));
  reply(std::move(unknown));
}

// ---------------------------------------------------------------- flows

void Answers::flows(const v1::FlowsRequest& request, ApiServer::Reply reply) {
  const FlowCursors::Position from = cursors_.find(request.closed_since_sequence());
  ask_flows(request.open(), request.closed(), from, [this, request, from, reply](const ProxyChannel::Answers& answers) {
    v1::ApiReply out;
    FlowCursors::Position position = from;
    merge_flows(answers, parts_.config.node, out, position);
    add_kernel_flows(request, out, position);
    out.set_next_closed_sequence(cursors_.remember(std::move(position)));
    reply(std::move(out));
  });
}

void Answers::add_kernel_flows(const v1::FlowsRequest& request, v1::ApiReply& reply, FlowCursors::Position& position) {
  if (request.closed()) position.kernel = parts_.closed_flows.since(position.kernel, *reply.mutable_flows());
  if (!request.open() && !request.untouched()) return;
  const FlowNames& names = parts_.names();
  size_t untouched = 0;
  for (const v1::Workload* pod : names.captured_pods()) {
    const auto flows = parts_.capture.kernel_flows(pod->uid());
    if (!flows) {
      add_error(reply,
                fmt::format("flows of {}/{} in the kernel: {}", pod->namespace_(), pod->name(), flows.error().message));
      continue;
    }
    if (request.open())
      for (const capture::DirectFlow& flow : flows->direct) *reply.add_flows() = names.direct(flow);
    if (!request.untouched()) continue;
    for (const capture::UntouchedFlow& flow : flows->untouched) {
      if (++untouched <= limits::kMaxUntouchedFlows) *reply.add_flows() = names.untouched(flow, *pod);
    }
  }
  if (untouched > limits::kMaxUntouchedFlows)
    add_error(reply, fmt::format("{} untouched flows, of which {} are listed", untouched, limits::kMaxUntouchedFlows));
}

void Answers::ask_flows(bool open, bool closed, const FlowCursors::Position& position,
                        std::function<void(ProxyChannel::Answers)> done) {
  parts_.channel.ask(
      [&](const std::string& instance, uint64_t request) {
        v1::ToProxy question;
        question.mutable_flow_query()->set_request(request);
        question.mutable_flow_query()->set_open(open);
        question.mutable_flow_query()->set_closed(closed);
        question.mutable_flow_query()->set_closed_since_sequence(position.of(instance));
        return question;
      },
      std::move(done));
}

// ---------------------------------------------------------------- tap

void Answers::tap(const v1::TapRequest& request, ApiServer::Reply reply) {
  const FlowCursors::Position from = tap_cursors_.find(request.since_sequence());
  parts_.channel.ask(
      [&](const std::string& instance, uint64_t number) {
        v1::ToProxy question;
        question.mutable_tap_query()->set_request(number);
        question.mutable_tap_query()->set_since_sequence(from.of(instance));
        return question;
      },
      [this, from, reply](const ProxyChannel::Answers& answers) {
        v1::ApiReply out;
        FlowCursors::Position position = from;
        merge_tapped(answers, parts_.config.node, out, position);
        out.set_next_tap_sequence(tap_cursors_.remember(std::move(position)));
        reply(std::move(out));
      });
}

// ---------------------------------------------------------------- pods, services, certificates

void Answers::pods(ApiServer::Reply reply) {
  ask_flows(true, false, {}, [this, reply](const ProxyChannel::Answers& answers) {
    v1::ApiReply open;
    FlowCursors::Position unused;
    merge_flows(answers, parts_.config.node, open, unused);
    v1::FlowsRequest kernel_flows;
    kernel_flows.set_open(true);
    add_kernel_flows(kernel_flows, open, unused);
    std::map<std::string, std::pair<uint32_t, uint32_t>> flows_of;  // outbound, inbound
    for (const v1::Flow& flow : open.flows()) {
      if (flow.direction() == v1::FLOW_OUTBOUND) ++flows_of[flow.source_namespace() + "/" + flow.source_pod()].first;
      if (flow.direction() == v1::FLOW_INBOUND || flow.path() == v1::PATH_DIRECT) {
        ++flows_of[flow.destination_namespace() + "/" + flow.destination_pod()].second;
      }
    }
    v1::ApiReply out;
    out.set_error(open.error());
    for (const auto& [uid, state] : parts_.reconciler.pods()) {
      v1::PodStatus& status = *out.add_pods();
      *status.mutable_workload() = state.pod.workload;
      status.set_enrolment(state.enrolment);
      status.set_reason(state.reason);
      status.set_since_ms(unix_ms(state.since));
      status.set_netns_cookie(parts_.capture.netns_cookie(uid));
      const auto flows = flows_of.find(state.pod.workload.namespace_() + "/" + state.pod.workload.name());
      if (flows == flows_of.end()) continue;
      status.set_outbound_flows(flows->second.first);
      status.set_inbound_flows(flows->second.second);
    }
    reply(std::move(out));
  });
}

void Answers::services(const ApiServer::Reply& reply) {
  v1::ApiReply out;
  *out.mutable_mesh() = parts_.reconciler.compiled().mesh();
  out.mutable_mesh()->clear_tls_secrets();  // private keys are for the proxy only
  for (const v1::RouteStatus& status : parts_.reconciler.route_statuses()) *out.add_route_statuses() = status;
  reply(std::move(out));
}

void Answers::certificates(ApiServer::Reply reply) {
  ask_stats([reply](const ProxyChannel::Answers& answers) {
    v1::ApiReply out;
    merge_stats(answers, out);
    out.clear_counters();
    reply(std::move(out));
  });
}

void Answers::ask_stats(std::function<void(ProxyChannel::Answers)> done, const std::string& except) {
  parts_.channel.ask(
      [](const std::string&, uint64_t request) {
        v1::ToProxy question;
        question.mutable_stats_query()->set_request(request);
        return question;
      },
      std::move(done), except);
}

// ---------------------------------------------------------------- check, version, stats

void Answers::check(ApiServer::Reply reply) {
  ask_stats([this, reply](const ProxyChannel::Answers& answers) {
    v1::ApiReply stats;
    merge_stats(answers, stats);
    CheckFacts all = facts();
    all.silent_proxies = answers.silent;
    all.certificates.assign(stats.certificates().begin(), stats.certificates().end());
    v1::ApiReply out;
    for (v1::CheckItem& item : agent::check(all)) *out.add_check() = std::move(item);
    for (const v1::Finding& finding : parts_.reconciler.findings()) *out.add_findings() = finding;
    reply(std::move(out));
  });
}

CheckFacts Answers::facts() {
  const Reconciler& reconciler = parts_.reconciler;
  CheckFacts facts{.now = system_clock::now(),
                   .kernel = kernel_release(),
                   .features = parts_.capture.features(),
                   .hooks = parts_.capture.hooks(),
                   .maps = parts_.capture.map_fills().value_or(std::vector<capture::MapFill>{}),
                   .notes = reconciler.notes(),
                   .proxies = parts_.channel.proxies(),
                   .lease_epoch = parts_.channel.lease_epoch(),
                   .slots_closed = parts_.slots_closed(),
                   .without_proxy_since = parts_.without_proxy_since(),
                   .proxy_violations = parts_.channel.counters().violations,
                   .generation = reconciler.generation(),
                   .published = reconciler.published(),
                   .failed_edit = reconciler.failure(),
                   .edits = reconciler.latency().count(),
                   .edit_median = reconciler.latency().median(),
                   .edit_longest = reconciler.latency().longest(),
                   .ca_error = parts_.ca_error(),
                   .ca_address = parts_.config.remote_ca.address,
                   .findings = reconciler.findings(),
                   .capabilities = parts_.capabilities};
  if (const CniService* service = parts_.cni()) {
    CniFacts& cni = facts.cni.emplace();
    cni.late_pods = service->numbers().late_pods;
    cni.installs = !parts_.config.cni->conf.empty();
    if (const Installer* installer = service->installer()) {
      cni.file = installer->status().file;
      cni.problem = installer->status().problem;
      cni.repairs = installer->status().repairs;
    }
  }
  for (const auto& [uid, state] : reconciler.pods()) {
    if (!state.pod.enrolled) continue;
    facts.pods.push_back({.name = state.pod.workload.namespace_() + "/" + state.pod.workload.name(),
                          .failure = state.enrolment == "failed" ? state.reason : ""});
  }
  return facts;
}

void Answers::version(const ApiServer::Reply& reply) {
  v1::ApiReply out;
  v1::VersionInfo& version = *out.mutable_version();
  version.set_agent(LEAT_VERSION);
  version.set_kernel(kernel_release());
  version.set_node(parts_.config.node);
  for (const ProxyInfo& proxy : parts_.channel.proxies()) {
    if (!proxy.armed && !version.proxy().empty()) continue;
    version.set_proxy(proxy.version);
    version.set_proxy_backend(proxy.backend);
  }
  reply(std::move(out));
}

void Answers::stats(ApiServer::Reply reply) {
  ask_stats([this, reply](const ProxyChannel::Answers& answers) {
    v1::ApiReply out;
    merge_stats(answers, out);
    out.clear_certificates();
    add_own_counters(out);
    reply(std::move(out));
  });
}

void Answers::counters_beside(const std::string& instance, const v1::CountersRequest& request,
                              std::function<void(const v1::ToProxy&)> done) {
  if (!counters_rate_.take(1, Clock::now())) return;
  ask_stats(
      [this, number = request.request(), done = std::move(done)](const ProxyChannel::Answers& answers) {
        v1::ApiReply counted;
        merge_stats(answers, counted);
        add_own_counters(counted);
        v1::ToProxy message;
        message.mutable_agent_counters()->set_request(number);
        message.mutable_agent_counters()->mutable_counters()->Swap(counted.mutable_counters());
        done(message);
      },
      instance);
}

void Answers::add_own_counters(v1::ApiReply& reply) {
  const FlowNames& names = parts_.names();
  for (const capture::CounterValue& counter :
       parts_.capture.counters().value_or(std::vector<capture::CounterValue>{})) {
    Labels labels;
    if (counter.pod_index != capture::CounterValue::kNoPod) labels["pod"] = names.pod_of_index(counter.pod_index);
    add_counter(reply, ("leat_capture_" + counter.name + "_total").c_str(), static_cast<double>(counter.value), labels);
  }
  const auto edges = parts_.capture.direct_edges().value_or(std::vector<capture::DirectEdge>{});
  add_direct_tcp(names, parts_.reconciler.settings().trust_domain(), edges, reply);
  for (const capture::DirectEdge& edge : edges) {
    const Labels labels{{"source", names.pod_of_index(edge.client_pod)},
                        {"destination", names.pod_of_index(edge.backend_pod)},
                        {"port", std::to_string(edge.port)}};
    add_counter(reply, "leat_direct_opened_total", static_cast<double>(edge.opened), labels);
    add_counter(reply, "leat_direct_closed_total", static_cast<double>(edge.closed), labels);
    add_counter(reply, "leat_direct_failed_total", static_cast<double>(edge.failed), labels);
    add_counter(reply, "leat_direct_sent_bytes_total", static_cast<double>(edge.bytes_sent), labels);
    add_counter(reply, "leat_direct_received_bytes_total", static_cast<double>(edge.bytes_received), labels);
  }
  for (const capture::MapFill& map : parts_.capture.map_fills().value_or(std::vector<capture::MapFill>{})) {
    add_counter(reply, "leat_map_entries", map.entries, {{"map", map.name}}, true);
    add_counter(reply, "leat_map_capacity", map.capacity, {{"map", map.name}}, true);
  }
  const Broker::Counters& broker = parts_.broker.counters();
  add_counter(reply, "leat_agent_sockets_total", static_cast<double>(broker.sockets));
  add_counter(reply, "leat_agent_socket_refusals_total", static_cast<double>(broker.socket_refusals));
  add_counter(reply, "leat_agent_certificates_total", static_cast<double>(broker.certificates));
  add_counter(reply, "leat_agent_certificate_refusals_total", static_cast<double>(broker.certificate_refusals));
  add_counter(reply, "leat_agent_source_ids_total", static_cast<double>(broker.source_ids));
  add_counter(reply, "leat_agent_source_ids_held", static_cast<double>(parts_.broker.source_ids_held()), {}, true);
  add_counter(reply, "leat_agent_source_id_refusals_total", static_cast<double>(broker.source_id_refusals));
  const ProxyChannel::Counters& channel = parts_.channel.counters();
  add_counter(reply, "leat_agent_proxy_connections_total", static_cast<double>(channel.connections));
  add_counter(reply, "leat_agent_proxy_foreign_users_total", static_cast<double>(channel.foreign_users));
  add_counter(reply, "leat_agent_proxy_violations_total", static_cast<double>(channel.violations));
  add_counter(reply, "leat_agent_leases_total", static_cast<double>(channel.grants));
  add_counter(reply, "leat_agent_proxies_ended_total", static_cast<double>(channel.ended));
  add_counter(reply, "leat_agent_closed_flows_forgotten_total", static_cast<double>(parts_.closed_flows.forgotten()));
  const Reconciler& reconciler = parts_.reconciler;
  add_counter(reply, "leat_agent_edits_total", static_cast<double>(reconciler.latency().count()));
  add_counter(reply, "leat_agent_edit_last_seconds", static_cast<double>(reconciler.latency().last().count()) / 1e6, {},
              true);
  add_counter(reply, "leat_agent_edit_median_seconds", static_cast<double>(reconciler.latency().median().count()) / 1e6,
              {}, true);
  add_counter(reply, "leat_agent_edit_longest_seconds",
              static_cast<double>(reconciler.latency().longest().count()) / 1e6, {}, true);
  add_counter(reply, "leat_agent_model_generation", static_cast<double>(reconciler.generation()), {}, true);
  add_counter(reply, "leat_agent_model_age_seconds",
              static_cast<double>(unix_ms(system_clock::now()) - unix_ms(reconciler.published())) / 1e3, {}, true);
  if (const CniService* cni = parts_.cni()) {
    const CniService::Numbers numbers = cni->numbers();
    add_counter(reply, "leat_agent_cni_attachments", static_cast<double>(numbers.attachments), {}, true);
    add_counter(reply, "leat_agent_cni_waiting", static_cast<double>(numbers.waiting), {}, true);
    add_counter(reply, "leat_agent_cni_held_back_total", static_cast<double>(numbers.held_back));
    add_counter(reply, "leat_agent_cni_refused_total", static_cast<double>(numbers.refused));
    add_counter(reply, "leat_agent_pods_captured_late_total", static_cast<double>(numbers.late_pods));
  }
  add_counter(reply, "leat_agent_without_proxy_resets_total", static_cast<double>(parts_.reset_connections()));
  add_counter(reply, "leat_agent_without_proxy_slots_closed", parts_.slots_closed() ? 1 : 0, {}, true);
}

}  // namespace leat::agent
