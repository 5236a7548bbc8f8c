// leat: the command line. Each command asks the agent once (or, following, again and again), filters, and prints;
// nothing is changed but by `uninstall`. What a command does is in actions.h; formatting is in flow_view and views,
// which need no agent.
#include <filesystem>
#include <functional>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/actions.h"
#include "cli/completion.h"
#include "cli/help.h"
#include "cli/selector.h"

namespace leat::cli {
namespace {

int run(int argc, char** argv) {
  Options options;
  int code = kOk;
  const std::string called = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "leat";
  const bool plugin = called.starts_with("kubectl-leat") || called.starts_with("kubectl_leat");
  CLI::App app(plugin ? "What the mesh does on every node of the cluster, and why."
                      : "What the mesh does on this node, and why.",
               plugin ? "kubectl leat" : "leat");
  describe_by_example(app, plugin ? "kubectl leat flows -n shop" : "leat flows -n shop");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--agent", options.agent.socket, "the agent's API socket")
      ->envname("LEAT_AGENT")
      ->capture_default_str();
  app.add_flag("--cluster", options.through_cluster,
               "ask the nodes of a cluster, by kubectl; what `kubectl leat` does");
  app.add_option("--context", options.cluster.context, "of the kubeconfig: the cluster to ask");
  app.add_option("--kubeconfig", options.cluster.kubeconfig, "kubectl's configuration file");
  app.add_option("--node", options.cluster.node, "of a cluster, only this node");
  app.add_option("--leat-namespace", options.cluster.ns, "of a cluster: where Leat runs")->capture_default_str();
  app.add_option("--kubectl", options.cluster.kubectl, "the program kubectl")
      ->envname("LEAT_KUBECTL")
      ->capture_default_str();
  // Options are read before any command's callback runs.
  app.parse_complete_callback([&options, plugin] {
    const ClusterTarget& cluster = options.cluster;
    if (plugin || options.through_cluster || !cluster.context.empty() || !cluster.kubeconfig.empty() ||
        !cluster.node.empty())
      options.agent.cluster = cluster;
  });

  const auto add = [&](const char* name, const char* example, const char* summary, const std::function<int()>& action) {
    CLI::App* command = app.add_subcommand(name, summary);
    describe_by_example(*command, example);
    command->callback([&code, action] { code = action(); });
    return command;
  };
  const auto add_namespace = [&options](CLI::App* command, const char* what) {
    auto* ns = command->add_option("-n,--namespace", options.filter.ns, what);
    command->add_flag("-A,--all-namespaces", options.all_namespaces, "every namespace, which is the default")
        ->excludes(ns);
  };
  const auto add_selector = [&options](CLI::App* command) {
    command->add_option("-l,--selector", options.selector, "only pods of these labels: app=cart,version=v2")
        ->check([](const std::string& text) {
          return parse_selector(text) ? std::string() : fmt::format("'{}' is no list of KEY=VALUE", text);
        });
  };
  const auto add_output = [&options](CLI::App* command) {
    command->add_option("-o,--output", options.output, "table, wide, json or jsonl")
        ->check(CLI::IsMember({"table", "wide", "json", "jsonl"}));
  };

  CLI::App* flows = add("flows", "leat flows -n shop -f",
                        "Connections of this node's pods: open ones, and with --closed those that closed lately.",
                        [&] { return run_flows(options); });
  flows->add_flag("-f,--follow", options.follow, "go on: print each flow when it opens and when it closes");
  add_namespace(flows, "only flows from or to this namespace");
  add_selector(flows);
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
      [&] { return run_dashboard(options); });
  dashboard_command->add_option("--port", options.port, "port on 127.0.0.1; without it any that is free");

  CLI::App* pods_command = add("pods", "leat pods -o wide", "This node's pods: enrolled or not, since when, and why.",
                               [&] { return run_pods(options); });
  add_namespace(pods_command, "only pods of this namespace");
  add_selector(pods_command);
  add_output(pods_command);
  CLI::App* services = add("services", "leat services -n shop", "Services in the mesh and their endpoints.",
                           [&] { return run_services(options); });
  add_namespace(services, "only Services of this namespace");
  add_output(services);
  CLI::App* routes =
      add("routes", "leat routes -o wide",
          "HTTP routes: what they take, where they lead by which share, and the line that each comes from.",
          [&] { return run_routes(options); });
  routes->add_flag("--status", options.statuses,
                   "instead: whether each Gateway API route is accepted, parent by parent");
  add_namespace(routes, "only routes of hosts in this namespace; with --status of routes there");
  add_output(routes);
  add_output(
      add("certs", "leat certs", "Certificates of this node's workloads.", [&] { return run_certificates(options); }));
  CLI::App* check_command =
      add("check", "leat check && echo healthy",
          "Every prerequisite, hook, map and age, with the cure of what is wrong. Exit 1: something is.",
          [&] { return run_check(options); });
  check_command->add_flag("--pre", options.before_install,
                          "of a cluster, before Leat is there: may it be installed, and is it fit?");
  check_command->add_option("--only", options.only, "only these rows: proxy, certificates, …")->delimiter(',');
  add_output(check_command);
  CLI::App* metrics_command =
      add("metrics", "leat metrics | grep istio_requests_total",
          "Counters of agent, kernel and proxy, as Prometheus reads them; with -o in another form.",
          [&] { return run_metrics(options); });
  metrics_command->add_flag("--openmetrics", options.openmetrics, "in OpenMetrics' text format");
  add_output(metrics_command);

  CLI::App* describe_command =
      app.add_subcommand("describe", "What happens to the traffic of a pod or a Service, and why.");
  describe_by_example(*describe_command, "leat describe pod shop/frontend-7d9");
  describe_command->require_subcommand(1);
  for (const bool pod : {true, false}) {
    CLI::App* of = describe_command->add_subcommand(pod ? "pod" : "svc", pod ? "of a pod" : "of a Service");
    describe_by_example(*of, pod ? "leat describe pod shop/frontend-7d9" : "leat describe svc shop/backend");
    if (!pod) of->alias("service");
    of->add_option("name", options.subject, "NAME or NAMESPACE/NAME")->required();
    of->add_option("-n,--namespace", options.filter.ns, "its namespace");
    of->callback([&code, &options, pod] { code = run_describe(options, pod); });
  }

  CLI::App* report =
      add("bug-report", "leat bug-report", "Everything that a person who was not there wants to know, as one archive.",
          [&] { return run_bug_report(options); });
  report->add_option("folder", options.subject, "where to; it is made");

  add("relay", "leat relay", "For kubectl leat: passes requests on to the agent of this node.", [&] {
    return run_relay(options);
  })->group("");

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
  uninstall_command->add_option("--config", options.config, "the agent's configuration file");

  CLI::App* completion = add("completion", "source <(leat completion bash)", "The completion script of a shell.", [&] {
    print(completion_script(app, options.shell == "bash"  ? Shell::kBash
                                 : options.shell == "zsh" ? Shell::kZsh
                                                          : Shell::kFish));
    return kOk;
  });
  completion->add_option("shell", options.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));

  if (argc == 1) {
    fmt::print(stderr, "{}", app.help());
    return kWrongUsage;
  }
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
