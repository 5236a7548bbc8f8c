// leat: the command line. Each command asks the agent once (or, following, again and again), filters, and prints;
// nothing is changed but by `uninstall`. Formatting is in flow_view and views, which need no agent.
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/agent_client.h"
#include "cli/completion.h"
#include "cli/dashboard.h"
#include "cli/flow_view.h"
#include "cli/follow.h"
#include "cli/help.h"
#include "cli/lint.h"
#include "cli/output.h"
#include "cli/prometheus.h"
#include "cli/routes_view.h"
#include "cli/tap.h"
#include "cli/top.h"
#include "cli/uninstall.h"
#include "cli/views.h"
#include "control/field.h"

namespace leat::cli {
namespace {

constexpr char kDefaultSocket[] = "/run/leat/api.sock";
constexpr std::chrono::milliseconds kFollowInterval{500};

struct Options {
  std::string agent = kDefaultSocket;
  std::string output;  // as given; empty: the command's own
  FlowFilter filter;
  std::string since;
  bool closed = false;
  bool follow = false;
  bool client_only = false;
  TapFilter tap_filter;
  uint64_t count = 0;
  std::string interval = "2s";
  bool once = false;
  uint16_t port = 0;
  bool openmetrics = false;
  bool statuses = false;
  std::vector<std::string> files;
  std::string shell;
  std::string config;
};

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

bool terminal_has_colours() {
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr && terminal != nullptr &&
         std::string_view(terminal) != "dumb";
}

Output output_of(const Options& options) {
  Output output{.coloured = terminal_has_colours()};
  if (options.output == "wide") output.format = Format::kWide;
  if (options.output == "json") output.format = Format::kJson;
  if (options.output == "jsonl") output.format = Format::kJsonl;
  return output;
}

int unreachable(const Options& options, const Error& error) {
  complain(fmt::format("can't reach the agent at {}: {}", options.agent, error.message),
           "is leat-agent running here? name its socket with --agent STATE/api.sock, or in the variable LEAT_AGENT");
  return kNoAgent;
}

Result<v1::ApiReply> ask_agent(const Options& options, const v1::ApiRequest& request) {
  LEAT_TRY(AgentClient client, AgentClient::connect(options.agent));
  return client.ask(request);
}

void say_what_is_missing(const v1::ApiReply& reply) {
  if (!reply.error().empty()) complain(fmt::format("the answer is not complete: {}", reply.error()));
}

// Asks, prints what `view` makes of the answer, and says on stderr what is missing from it.
int show(const Options& options, const v1::ApiRequest& request,
         const std::function<View(const v1::ApiReply&, bool wide)>& view) {
  const Result<v1::ApiReply> reply = ask_agent(options, request);
  if (!reply) return unreachable(options, reply.error());
  const Output output = output_of(options);
  const View shown = view(*reply, output.format == Format::kWide);
  print(render(output, shown.table, shown.list));
  say_what_is_missing(*reply);
  return kOk;
}

// ---- flows

std::vector<v1::Flow> matching(const v1::ApiReply& reply, const FlowFilter& filter) {
  std::vector<v1::Flow> flows;
  for (const v1::Flow& flow : reply.flows()) {
    if (filter.matches(flow)) flows.push_back(flow);
  }
  sort_flows(flows);
  return flows;
}

v1::ApiRequest flows_request(bool closed, uint64_t since) {
  v1::ApiRequest request;
  request.mutable_flows()->set_open(true);
  request.mutable_flows()->set_untouched(true);
  request.mutable_flows()->set_closed(closed);
  request.mutable_flows()->set_closed_since_sequence(since);
  return request;
}

// Prints what is new until it is interrupted. An agent that goes away is waited for: its flows go on without it.
int follow_flows(const Options& options, const Output& output, AgentClient client) {
  FlowNews news;
  uint64_t cursor = 0;
  std::vector<size_t> widths;
  bool first = true;
  while (true) {
    const Result<v1::ApiReply> reply = client.ask(flows_request(true, cursor));
    if (!reply) {
      complain(fmt::format("the agent at {} is gone: {}; waiting for it", options.agent, reply.error().message));
      Result<AgentClient> again = AgentClient::connect(options.agent);
      for (; !again; again = AgentClient::connect(options.agent)) std::this_thread::sleep_for(kFollowInterval);
      client = std::move(*again);
      cursor = 0;
      continue;
    }
    cursor = reply->next_closed_sequence();
    std::vector<v1::Flow> fresh = news.take(matching(*reply, options.filter));
    if (first && !options.closed) std::erase_if(fresh, [](const v1::Flow& flow) { return flow.closed_ms() != 0; });
    if (output.format == Format::kJsonl) {
      for (const v1::Flow& flow : fresh) print(json_line(flow_json(flow)));
    } else {
      const Table table = flow_table(fresh, output.format == Format::kWide, now_ms());
      if (first) print(table.render_header(widths));
      if (!fresh.empty()) print(table.render_rows(output.coloured, widths));
    }
    first = false;
    std::this_thread::sleep_for(kFollowInterval);
  }
}

int run_flows(Options options) {
  const Output output = output_of(options);
  if (options.follow && output.format == Format::kJson) {
    complain("-f prints one flow after the other, which is no JSON array", "use -o jsonl");
    return kWrongUsage;
  }
  if (!options.since.empty()) {
    const auto since_ms = control::parse_duration_ms(options.since);
    if (!since_ms) {
      complain(fmt::format("--since: '{}' is not a duration", options.since), "write it like 30s, 5m or 1h30m");
      return kWrongUsage;
    }
    options.closed = true;
    options.filter.closed_after_ms = now_ms() - static_cast<int64_t>(*since_ms);
  }
  Result<AgentClient> client = AgentClient::connect(options.agent);
  if (!client) return unreachable(options, client.error());
  if (options.follow) return follow_flows(options, output, std::move(*client));

  const Result<v1::ApiReply> reply = client->ask(flows_request(options.closed, 0));
  if (!reply) return unreachable(options, reply.error());
  const std::vector<v1::Flow> flows = matching(*reply, options.filter);
  print(render(output, flow_table(flows, output.format == Format::kWide, now_ms()), flows_json(flows)));
  say_what_is_missing(*reply);
  return kOk;
}

// ---- requests

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

// ---- the others

int run_pods(const Options& options) {
  v1::ApiRequest request;
  request.mutable_pods();
  return show(options, request, [](const v1::ApiReply& reply, bool wide) { return pods_view(reply, wide, now_ms()); });
}

int run_services(const Options& options) {
  v1::ApiRequest request;
  request.mutable_services();
  return show(options, request, services_view);
}

int run_routes(const Options& options) {
  v1::ApiRequest request;
  request.mutable_services();
  return show(options, request, options.statuses ? route_statuses_view : routes_view);
}

int run_certificates(const Options& options) {
  v1::ApiRequest request;
  request.mutable_certificates();
  return show(options, request,
              [](const v1::ApiReply& reply, bool wide) { return certificates_view(reply, wide, now_ms()); });
}

int run_check(const Options& options) {
  bool failed = false;
  v1::ApiRequest request;
  request.mutable_check();
  const int code = show(options, request, [&failed](const v1::ApiReply& reply, bool) {
    failed = std::ranges::any_of(reply.check(), [](const v1::CheckItem& item) { return item.status() == "fail"; });
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
    print(options.openmetrics ? openmetrics_text(*reply) : prometheus_text(*reply));
    say_what_is_missing(*reply);
    return kOk;
  }
  return show(options, request, [](const v1::ApiReply& reply, bool) { return counters_view(reply); });
}

int run_version(const Options& options) {
  v1::ApiRequest request;
  request.mutable_version();
  if (!options.client_only)
    return show(options, request, [](const v1::ApiReply& reply, bool) { return version_view(reply.version()); });
  const View view = version_view({});
  print(render(output_of(options), view.table, view.list));
  return kOk;
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
  const Result<std::string> left_to_do = uninstall(options.config);
  if (!left_to_do) {
    complain(left_to_do.error().message, "run it as root, with the agent stopped; it may be run again");
    return kAnswerIsNo;
  }
  print(fmt::format("Nothing of Leat is left in the kernel: no program, map, link, listener slot or route.\n{}\n",
                    *left_to_do));
  return kOk;
}

// ---- the command line itself

int run(int argc, char** argv) {
  Options options;
  int code = kOk;
  CLI::App app("What the mesh does on this node, and why.", "leat");
  describe_by_example(app, "leat flows -n shop");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--agent", options.agent, "the agent's API socket")->envname("LEAT_AGENT")->capture_default_str();

  const auto add = [&](const char* name, const char* example, const char* summary, const std::function<int()>& action) {
    CLI::App* command = app.add_subcommand(name, summary);
    describe_by_example(*command, example);
    command->callback([&code, action] { code = action(); });
    return command;
  };
  const auto add_output = [&options](CLI::App* command) {
    command->add_option("-o,--output", options.output, "table, wide, json or jsonl")
        ->check(CLI::IsMember({"table", "wide", "json", "jsonl"}));
  };

  CLI::App* flows = add("flows", "leat flows -n shop -f",
                        "Connections of this node's pods: open ones, and with --closed those that closed lately.",
                        [&] { return run_flows(options); });
  flows->add_flag("-f,--follow", options.follow, "go on: print each flow when it opens and when it closes");
  flows->add_option("-n,--namespace", options.filter.ns, "only flows from or to this namespace");
  flows->add_option("--pod", options.filter.pod, "only flows from or to this pod: NAME or NAMESPACE/NAME");
  flows->add_flag("--closed", options.closed, "closed flows too");
  flows->add_option("--since", options.since, "closed flows too, those that closed within this time: 30s, 5m");
  add_output(flows);

  CLI::App* tap_command = add("tap", "leat tap -n shop --status 5xx",
                              "HTTP requests of this node's pods as they end. Costs nothing while nobody looks.",
                              [&] { return run_tap(options); });
  tap_command->add_option("-n,--namespace", options.tap_filter.ns, "only requests from or to this namespace");
  tap_command->add_option("--pod", options.tap_filter.pod, "only from or to this pod: NAME or NAMESPACE/NAME");
  tap_command->add_option("--service", options.tap_filter.service, "only to this Service: NAME or NAMESPACE/NAME");
  tap_command->add_option("--method", options.tap_filter.method, "only of this method");
  tap_command->add_option("--path", options.tap_filter.path, "only paths that begin so");
  tap_command->add_option("--status", options.tap_filter.status, "only answers of this status: 503, 5xx");
  tap_command->add_option("--count", options.count, "end after so many");
  tap_command->add_option("-o,--output", options.output, "table, wide or jsonl")
      ->check(CLI::IsMember({"table", "wide", "jsonl"}));

  CLI::App* top_command =
      add("top", "leat top -n shop", "Who calls what: success, rate and latency of each edge, refreshed.",
          [&] { return run_top(options); });
  top_command->add_option("-n,--namespace", options.filter.ns, "only edges from or to this namespace");
  top_command->add_option("--interval", options.interval, "how long is measured: 500ms, 5s")->capture_default_str();
  top_command->add_flag("--once", options.once, "measure once, print, end");
  add_output(top_command);

  CLI::App* dashboard_command = add(
      "dashboard", "leat dashboard --port 4777",
      "Serves a page on 127.0.0.1: the service graph with success, rate and latency, and splits as they are measured.",
      [&] { return dashboard({.agent = options.agent, .port = options.port}); });
  dashboard_command->add_option("--port", options.port, "port on 127.0.0.1; without it any that is free");

  add_output(add("pods", "leat pods -o wide", "This node's pods: enrolled or not, since when, and why.",
                 [&] { return run_pods(options); }));
  add_output(add("services", "leat services", "Services in the mesh and their endpoints.",
                 [&] { return run_services(options); }));
  CLI::App* routes =
      add("routes", "leat routes -o wide",
          "HTTP routes: what they take, where they lead by which share, and the line that each comes from.",
          [&] { return run_routes(options); });
  routes->add_flag("--status", options.statuses,
                   "instead: whether each Gateway API route is accepted, parent by parent");
  add_output(routes);
  add_output(
      add("certs", "leat certs", "Certificates of this node's workloads.", [&] { return run_certificates(options); }));
  add_output(add("check", "leat check && echo healthy",
                 "Every prerequisite, hook, map and age, with the cure of what is wrong. Exit 1: something is.",
                 [&] { return run_check(options); }));
  CLI::App* metrics_command =
      add("metrics", "leat metrics | grep istio_requests_total",
          "Counters of agent, kernel and proxy, as Prometheus reads them; with -o in another form.",
          [&] { return run_metrics(options); });
  metrics_command->add_flag("--openmetrics", options.openmetrics, "in OpenMetrics' text format");
  add_output(metrics_command);

  CLI::App* lint_command = add("lint", "leat lint manifests/",
                               "What Leat would make of manifests, without an agent. Exit 1: there are errors.",
                               [&] { return run_lint(options); });
  lint_command->add_option("files", options.files, "YAML or JSON files, folders of them, or - for stdin")->required();
  add_output(lint_command);

  CLI::App* version = add("version", "leat version", "Versions of leat, agent, proxy and kernel.",
                          [&] { return run_version(options); });
  version->add_flag("--client", options.client_only, "only of leat itself; asks no agent");
  add_output(version);

  CLI::App* uninstall_command =
      add("uninstall", "leat uninstall --config /etc/leat/agent.yaml",
          "Takes Leat out of this node's kernel, and proves it. Root, with the agent stopped.",
          [&] { return run_uninstall(options); });
  uninstall_command->add_option("--config", options.config, "the agent's configuration file")->required();

  CLI::App* completion = add("completion", "source <(leat completion bash)", "The completion script of a shell.", [&] {
    print(completion_script(app, options.shell == "bash"  ? Shell::kBash
                                 : options.shell == "zsh" ? Shell::kZsh
                                                          : Shell::kFish));
    return kOk;
  });
  completion->add_option("shell", options.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    complain(error.what(), "see leat --help, and leat COMMAND --help");
    return kWrongUsage;
  }
  return code;
}

}  // namespace
}  // namespace leat::cli

int main(int argc, char** argv) { return leat::cli::run(argc, argv); }
