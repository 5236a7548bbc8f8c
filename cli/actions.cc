#include "cli/actions.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "cli/agent_client.h"
#include "cli/ask.h"
#include "cli/bug_report.h"
#include "cli/dashboard.h"
#include "cli/describe.h"
#include "cli/lint.h"
#include "cli/preflight.h"
#include "cli/routes_view.h"
#include "cli/selector.h"
#include "cli/top.h"
#include "cli/uninstall.h"
#include "common/exposition.h"
#include "control/field.h"

namespace leat::cli {
namespace {

bool has_failed(const v1::ApiReply& reply) {
  return std::ranges::any_of(reply.check(), [](const v1::CheckItem& item) { return item.status() == "fail"; });
}

int run_preflight(const Options& options) {
  if (!options.agent.cluster) {
    complain("--pre asks a cluster", "run it as kubectl leat check --pre");
    return kWrongUsage;
  }
  Result<std::vector<v1::CheckItem>> rows = preflight(*options.agent.cluster);
  if (!rows) {
    complain(fmt::format("can't ask the cluster: {}", rows.error().message), "does `kubectl get nodes` work?");
    return kNoAgent;
  }
  v1::ApiReply reply;
  for (v1::CheckItem& item : *rows) *reply.add_check() = std::move(item);
  print_view(options, check_view(reply), reply);
  return has_failed(reply) ? kAnswerIsNo : kOk;
}

// What `describe` makes its sentences of.
Result<Facts> ask_for_facts(const Options& options) {
  LEAT_TRY(AgentClient client, AgentClient::connect(options.agent));
  v1::ApiRequest pods, services, certificates;
  pods.mutable_pods();
  services.mutable_services();
  certificates.mutable_certificates();
  Facts facts{.pods = {}, .services = {}, .routes = {}, .certificates = Json::array(), .flows = {}};
  LEAT_TRY(const v1::ApiReply all_pods, client.ask(pods));
  facts.pods = pods_view(all_pods, true, now_ms()).list;
  LEAT_TRY(const v1::ApiReply model, client.ask(services));
  facts.services = services_view(model, true).list;
  facts.routes = routes_view(model, true).list;
  LEAT_TRY(const std::vector<NodeReply> by_node, client.ask_each(certificates));
  for (const NodeReply& each : by_node) {
    for (Json& one : certificates_view(each.reply, true, now_ms()).list) {
      one["node"] = each.node;
      facts.certificates.push_back(std::move(one));
    }
  }
  LEAT_TRY(const v1::ApiReply flows, client.ask(flows_request(true, 0)));
  std::vector<v1::Flow> sorted(flows.flows().begin(), flows.flows().end());
  sort_flows(sorted);
  facts.flows = flows_json(sorted);
  for (const v1::ApiReply* reply : {&all_pods, &model, &flows}) say_what_is_missing(*reply);
  return facts;
}

}  // namespace

bool is_wanted(const Options& options, const v1::Workload& pod) {
  if (!options.filter.ns.empty() && pod.namespace_() != options.filter.ns) return false;
  return std::ranges::all_of(*parse_selector(options.selector), [&](const auto& label) {
    const auto found = pod.labels().find(label.first);
    return found != pod.labels().end() && found->second == label.second;
  });
}

int run_tap(const Options& options) {
  const std::string& status = options.tap_filter.status;
  if (!status.empty() && !is_status(status)) {
    complain(fmt::format("--status: '{}' is no status", status), "write it like 503 or 5xx");
    return kWrongUsage;
  }
  return tap(
      {.agent = options.agent, .filter = options.tap_filter, .output = output_of(options), .count = options.count});
}

int run_top(const Options& options) {
  const auto interval = control::parse_duration_ms(options.interval);
  if (!interval || *interval == 0) {
    complain(fmt::format("--interval: '{}' is not a duration", options.interval), "write it like 500ms or 5s");
    return kWrongUsage;
  }
  return top({.agent = options.agent,
              .ns = options.filter.ns,
              .output = output_of(options),
              .interval = std::chrono::milliseconds(*interval),
              .once = options.once});
}

int run_dashboard(const Options& options) { return dashboard({.agent = options.agent, .port = options.port}); }

int run_pods(const Options& options) {
  v1::ApiRequest request;
  request.mutable_pods();
  return show_each(options, request, [&](const v1::ApiReply& reply, bool wide) {
    v1::ApiReply wanted;
    for (const v1::PodStatus& pod : reply.pods()) {
      if (is_wanted(options, pod.workload())) *wanted.add_pods() = pod;
    }
    return pods_view(wanted, wide, now_ms());
  });
}

int run_services(const Options& options) {
  v1::ApiRequest request;
  request.mutable_services();
  return show(options, request,
              [&](const v1::ApiReply& reply, bool wide) { return services_view(reply, wide, options.filter.ns); });
}

int run_routes(const Options& options) {
  v1::ApiRequest request;
  request.mutable_services();
  const auto view = options.statuses ? route_statuses_view : routes_view;
  return show(options, request,
              [&](const v1::ApiReply& reply, bool wide) { return view(reply, wide, options.filter.ns); });
}

int run_certificates(const Options& options) {
  v1::ApiRequest request;
  request.mutable_certificates();
  return show_each(options, request,
                   [](const v1::ApiReply& reply, bool wide) { return certificates_view(reply, wide, now_ms()); });
}

int run_check(const Options& options) {
  if (options.before_install) return run_preflight(options);
  bool failed = false;
  v1::ApiRequest request;
  request.mutable_check();
  const int code = show_each(options, request, [&](const v1::ApiReply& all, bool) {
    v1::ApiReply reply;
    for (const v1::CheckItem& item : all.check()) {
      if (options.only.empty() || std::ranges::find(options.only, item.area()) != options.only.end())
        *reply.add_check() = item;
    }
    failed |= has_failed(reply);
    return check_view(reply);
  });
  return code == kOk && failed ? kAnswerIsNo : code;
}

int run_metrics(const Options& options) {
  v1::ApiRequest request;
  request.mutable_stats();
  if (options.output.empty() || options.openmetrics) {
    const Result<v1::ApiReply> reply = ask_agent(options, request);
    if (!reply) return unreachable(options, reply.error());
    print(exposition_text(reply->counters(),
                          options.openmetrics ? ExpositionFormat::kOpenMetrics : ExpositionFormat::kPrometheus));
    say_what_is_missing(*reply);
    return kOk;
  }
  return show(options, request, [](const v1::ApiReply& reply, bool) { return counters_view(reply); });
}

int run_version(const Options& options) {
  v1::ApiRequest request;
  request.mutable_version();
  if (!options.client_only)
    return show_each(options, request, [](const v1::ApiReply& reply, bool) { return version_view(reply.version()); });
  const View view = version_view({});
  print(render(output_of(options), view.table, view.list));
  return kOk;
}

int run_describe(const Options& options, bool pod) {
  const Result<Facts> facts = ask_for_facts(options);
  if (!facts) return unreachable(options, facts.error());
  const auto text = pod ? describe_pod(*facts, options.filter.ns, options.subject, now_ms())
                        : describe_service(*facts, options.filter.ns, options.subject);
  if (!text) {
    complain(text.error().message,
             pod ? "`leat pods` lists those that are known" : "`leat services` lists those that are known");
    return kAnswerIsNo;
  }
  print(*text);
  return kOk;
}

int run_bug_report(const Options& options) {
  const std::string folder =
      options.subject.empty() ? fmt::format("leat-bug-report-{}", now_ms() / 1000) : options.subject;
  const Result<std::string> made = bug_report(options.agent, folder);
  if (!made) {
    complain(made.error().message, "name another folder, which is not there yet");
    return kAnswerIsNo;
  }
  print(
      fmt::format("{}\nIt holds names, addresses, counters and logs of the mesh, and no key or token. Look through it "
                  "before you send it.\n",
                  *made));
  return kOk;
}

// The far end of `kubectl leat`: requests from standard input to the agent of this node, and its answers back.
int run_relay(const Options& options) {
  Result<AgentClient> client = AgentClient::connect(options.agent.socket);
  return relay_frames([&](const std::string& bytes) {
    v1::ApiRequest request;
    v1::ApiReply reply;
    if (!request.ParseFromString(bytes)) {
      reply.set_error("the request can't be read: is `leat` of the same version on both ends?");
      return reply.SerializeAsString();
    }
    if (!client) client = AgentClient::connect(options.agent.socket);
    auto answered = client ? client->ask(request) : Result<v1::ApiReply>(std::unexpected(client.error()));
    if (answered) return answered->SerializeAsString();
    reply.set_error(fmt::format("the agent at {} can't be asked: {}", options.agent.socket, answered.error().message));
    client = std::unexpected(answered.error());
    return reply.SerializeAsString();
  });
}

int run_lint(const Options& options) {
  const Linted linted = lint(options.files);
  for (const std::string& sentence : linted.unreadable) complain(sentence, "is the name right, and may you read it?");
  const Output output = output_of(options);
  const bool as_text = output.format == Format::kTable || output.format == Format::kWide;
  print(as_text ? lint_text(linted, output.coloured) : render(output, Table({}), lint_json(linted)));
  return has_errors(linted) ? kAnswerIsNo : kOk;
}

int run_uninstall(const Options& options) {
  if (options.agent.cluster) {
    complain("a cluster is not left node by node",
             fmt::format("helm uninstall leat -n {} takes Leat off every node, and looks whether anything is left",
                         options.agent.cluster->ns));
    return kWrongUsage;
  }
  if (options.config.empty()) {
    complain("--config is missing", "give the agent's configuration file, such as /etc/leat/agent.yaml");
    return kWrongUsage;
  }
  const Result<std::string> left_to_do = uninstall(options.config);
  if (!left_to_do) {
    complain(left_to_do.error().message, "run it as root, with the agent stopped; it may be run again");
    return kAnswerIsNo;
  }
  print(fmt::format("Nothing of Leat is left in the kernel: no program, map, link, listener slot or route.\n{}\n",
                    *left_to_do));
  return kOk;
}

}  // namespace leat::cli
