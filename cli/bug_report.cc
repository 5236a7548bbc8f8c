#include "cli/bug_report.h"

#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <vector>

#include "cli/agent_client.h"
#include "cli/flow_view.h"
#include "cli/kubectl.h"
#include "cli/routes_view.h"
#include "cli/views.h"

namespace leat::cli {
namespace {

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Result<void> write(const std::string& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) return fail_errno(errno, "writing {}", path);
  return {};
}

struct Question {
  const char* name;
  v1::ApiRequest request;
  std::function<Json(const v1::ApiReply&)> list;
};

std::vector<Question> questions() {
  std::vector<Question> all;
  const auto add = [&all](const char* name, std::function<Json(const v1::ApiReply&)> list) -> v1::ApiRequest& {
    return all.emplace_back(Question{.name = name, .request = {}, .list = std::move(list)}).request;
  };
  add("version", [](const v1::ApiReply& reply) { return version_view(reply.version()).list; }).mutable_version();
  add("check", [](const v1::ApiReply& reply) { return check_view(reply).list; }).mutable_check();
  add("pods", [](const v1::ApiReply& reply) { return pods_view(reply, true, now_ms()).list; }).mutable_pods();
  add("services", [](const v1::ApiReply& reply) { return services_view(reply, true).list; }).mutable_services();
  add("routes", [](const v1::ApiReply& reply) { return routes_view(reply, true).list; }).mutable_services();
  add("certs", [](const v1::ApiReply& reply) {
    return certificates_view(reply, true, now_ms()).list;
  }).mutable_certificates();
  add("metrics", [](const v1::ApiReply& reply) { return counters_view(reply).list; }).mutable_stats();
  v1::ApiRequest& flows =
      add("flows", [](const v1::ApiReply& reply) { return flows_json({reply.flows().begin(), reply.flows().end()}); });
  flows.mutable_flows()->set_open(true);
  flows.mutable_flows()->set_closed(true);
  flows.mutable_flows()->set_untouched(true);
  return all;
}

// What kubectl knows: a part that fails is a file with the reason.
Result<void> add_cluster(const ClusterTarget& cluster, const std::string& folder) {
  const std::pair<const char*, std::vector<std::string>> parts[] = {
      {"kubectl-version.txt", {"version"}},
      {"nodes.txt", {"get", "nodes", "-o", "wide"}},
      {"leat-pods.yaml", {"get", "pods", "-n", cluster.ns, "-o", "yaml"}},
      {"leat-daemonsets.yaml", {"get", "daemonsets,deployments", "-n", cluster.ns, "-o", "yaml"}},
      {"events.txt", {"get", "events", "-n", cluster.ns, "--sort-by=.lastTimestamp"}},
      {"leat-objects.yaml", {"get", "meshes,nodeworkloads", "-o", "yaml"}},
      {"agent.log", {"logs", "-n", cluster.ns, "-l", "app.kubernetes.io/name=leat-agent", "--tail=5000", "--prefix"}},
      {"proxy.log", {"logs", "-n", cluster.ns, "-l", kProxySelector, "--tail=5000", "--prefix"}},
      {"ca.log", {"logs", "-n", cluster.ns, "-l", "app.kubernetes.io/name=leat-ca", "--tail=5000", "--prefix"}}};
  for (const auto& [file, words] : parts) {
    const auto printed = run_kubectl(cluster, words);
    LEAT_TRY_VOID(write(folder + "/" + file, printed ? *printed : printed.error().message + "\n"));
  }
  return {};
}

}  // namespace

Result<std::string> bug_report(const Target& target, const std::string& folder) {
  if (::mkdir(folder.c_str(), 0700) != 0) return fail_errno(errno, "making {}", folder);
  std::string problems;
  auto client = AgentClient::connect(target);
  if (!client) problems += client.error().message + "\n";
  for (const Question& question : client ? questions() : std::vector<Question>{}) {
    const auto replies = client->ask_each(question.request);
    if (!replies) {
      problems += fmt::format("{}: {}\n", question.name, replies.error().message);
      continue;
    }
    for (const NodeReply& each : *replies) {
      const std::string name = each.node.empty() ? question.name : fmt::format("{}.{}", each.node, question.name);
      const std::string text = question.list(each.reply).dump(1, ' ', false, Json::error_handler_t::replace);
      LEAT_TRY_VOID(write(fmt::format("{}/{}.json", folder, name), text + "\n"));
      if (!each.reply.error().empty()) problems += fmt::format("{}: {}\n", name, each.reply.error());
    }
  }
  if (target.cluster) LEAT_TRY_VOID(add_cluster(*target.cluster, folder));
  LEAT_TRY_VOID(write(folder + "/problems.txt", problems.empty() ? "every question was answered\n" : problems));
  const ClusterTarget tar{.kubectl = "tar"};
  const std::string archive = folder + ".tar.gz";
  return run_kubectl(tar, {"czf", archive, folder}) ? archive : folder;
}

}  // namespace leat::cli
