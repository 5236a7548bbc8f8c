#include "cli/top.h"

#include <optional>
#include <thread>

#include <fmt/format.h>

#include "cli/agent_client.h"
#include "cli/edges.h"

namespace leat::cli {
namespace {

constexpr char kHomeAndClear[] = "\x1b[H\x1b[J";

struct Snapshot {
  v1::ApiReply reply;
  std::chrono::steady_clock::time_point taken;
};

Result<Snapshot> take_snapshot(AgentClient& client) {
  v1::ApiRequest request;
  request.mutable_stats();
  LEAT_TRY(v1::ApiReply reply, client.ask(request));
  return Snapshot{std::move(reply), std::chrono::steady_clock::now()};
}

void show(const TopOptions& options, const std::vector<Edge>& edges, const std::vector<RouteLoad>& routes) {
  Json all = edges_json(edges);
  const Json loads = route_loads_json(routes);
  all.insert(all.end(), loads.begin(), loads.end());
  if (options.output.format == Format::kJson || options.output.format == Format::kJsonl)
    return print(render(options.output, edge_table(edges), all));
  if (!options.once) print(kHomeAndClear);
  print(render(options.output, edge_table(edges), all));
  if (!routes.empty()) print("\n" + render(options.output, route_load_table(routes), all));
}

}  // namespace

int top(const TopOptions& options) {
  std::optional<Snapshot> before;
  Result<AgentClient> client = AgentClient::connect(options.agent);
  for (;;) {
    Result<Snapshot> now = client ? take_snapshot(*client) : Result<Snapshot>(std::unexpected(client.error()));
    if (!now) {
      complain(fmt::format("can't reach {}: {}", options.agent.text(), now.error().message), options.agent.cure());
      return kNoAgent;
    }
    if (before) {
      const double seconds = std::chrono::duration<double>(now->taken - before->taken).count();
      std::vector<Edge> edges = edges_between(before->reply.counters(), now->reply.counters(), seconds);
      if (!options.ns.empty())
        std::erase_if(edges, [&](const Edge& edge) {
          return edge.source_namespace != options.ns && edge.service_namespace != options.ns;
        });
      std::vector<RouteLoad> routes = routes_between(before->reply.counters(), now->reply.counters(), seconds);
      if (!options.ns.empty())
        std::erase_if(routes, [&](const RouteLoad& load) { return !load.route.contains(" " + options.ns + "/"); });
      show(options, edges, routes);
      if (!now->reply.error().empty()) complain(fmt::format("the answer is not complete: {}", now->reply.error()));
      if (options.once) return kOk;
    }
    before = std::move(*now);
    std::this_thread::sleep_for(options.interval);
  }
}

}  // namespace leat::cli
