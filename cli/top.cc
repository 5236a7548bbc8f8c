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

Result<Snapshot> take_snapshot(const std::string& agent) {
  v1::ApiRequest request;
  request.mutable_stats();
  LEAT_TRY(AgentClient client, AgentClient::connect(agent));
  LEAT_TRY(v1::ApiReply reply, client.ask(request));
  return Snapshot{std::move(reply), std::chrono::steady_clock::now()};
}

}  // namespace

int top(const TopOptions& options) {
  std::optional<Snapshot> before;
  for (;;) {
    Result<Snapshot> now = take_snapshot(options.agent);
    if (!now) {
      complain(
          fmt::format("can't reach the agent at {}: {}", options.agent, now.error().message),
          "is leat-agent running here? name its socket with --agent STATE/api.sock, or in the variable LEAT_AGENT");
      return kNoAgent;
    }
    if (before) {
      const double seconds = std::chrono::duration<double>(now->taken - before->taken).count();
      std::vector<Edge> edges = edges_between(before->reply.counters(), now->reply.counters(), seconds);
      if (!options.ns.empty())
        std::erase_if(edges, [&](const Edge& edge) {
          return edge.source_namespace != options.ns && edge.service_namespace != options.ns;
        });
      if (!options.once && options.output.format == Format::kTable) print(kHomeAndClear);
      print(render(options.output, edge_table(edges), edges_json(edges)));
      if (!now->reply.error().empty()) complain(fmt::format("the answer is not complete: {}", now->reply.error()));
      if (options.once) return kOk;
    }
    before = std::move(*now);
    std::this_thread::sleep_for(options.interval);
  }
}

}  // namespace leat::cli
