// `leat flows`.
#include <algorithm>
#include <chrono>
#include <set>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "cli/actions.h"
#include "cli/agent_client.h"
#include "cli/ask.h"
#include "cli/follow.h"
#include "control/field.h"

namespace leat::cli {
namespace {

constexpr std::chrono::milliseconds kFollowInterval{500};
constexpr size_t kLastClosed = 20;  // flows, of those that closed, where none is open

std::vector<v1::Flow> matching(const v1::ApiReply& reply, const FlowFilter& filter) {
  std::vector<v1::Flow> flows;
  for (const v1::Flow& flow : reply.flows()) {
    if (filter.matches(flow)) flows.push_back(flow);
  }
  sort_flows(flows);
  return flows;
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
      complain(fmt::format("{} can't be asked: {}; waiting", options.agent.text(), reply.error().message));
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

// NAMESPACE/NAME of those that the command's own options name.
Result<std::set<std::string>> names_of_wanted_pods(const Options& options, AgentClient& client) {
  v1::ApiRequest pods;
  pods.mutable_pods();
  LEAT_TRY(const v1::ApiReply known, client.ask(pods));
  std::set<std::string> names;
  for (const v1::PodStatus& pod : known.pods()) {
    if (is_wanted(options, pod.workload())) names.insert(pod.workload().namespace_() + "/" + pod.workload().name());
  }
  return names;
}

}  // namespace

v1::ApiRequest flows_request(bool closed, uint64_t since) {
  v1::ApiRequest request;
  request.mutable_flows()->set_open(true);
  request.mutable_flows()->set_untouched(true);
  request.mutable_flows()->set_closed(closed);
  request.mutable_flows()->set_closed_since_sequence(since);
  return request;
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

  std::optional<std::set<std::string>> of_pods;
  if (!options.selector.empty()) {
    Result<std::set<std::string>> names = names_of_wanted_pods(options, *client);
    if (!names) return unreachable(options, names.error());
    of_pods = std::move(*names);
  }
  const auto wanted = [&](const v1::ApiReply& reply) {
    std::vector<v1::Flow> flows = matching(reply, options.filter);
    if (!of_pods) return flows;
    std::erase_if(flows, [&](const v1::Flow& flow) {
      return !of_pods->contains(flow.source_namespace() + "/" + flow.source_pod()) &&
             !of_pods->contains(flow.destination_namespace() + "/" + flow.destination_pod());
    });
    return flows;
  };
  Result<v1::ApiReply> reply = client->ask(flows_request(options.closed, 0));
  if (!reply) return unreachable(options, reply.error());
  std::vector<v1::Flow> flows = wanted(*reply);
  // Who looks at an empty table wants to know whether there was nothing, or nothing that is open.
  const bool for_eyes = output.format == Format::kTable || output.format == Format::kWide;
  if (flows.empty() && !options.closed && for_eyes) {
    reply = client->ask(flows_request(true, 0));
    if (!reply) return unreachable(options, reply.error());
    flows = wanted(*reply);
    if (!flows.empty())
      complain(fmt::format("no connection is open; {} closed lately (all: --closed), the last:", flows.size()));
    std::ranges::sort(flows, {}, [](const v1::Flow& flow) { return flow.closed_ms(); });
    flows.erase(flows.begin(), flows.end() - static_cast<ptrdiff_t>(std::min(flows.size(), kLastClosed)));
  }
  print(render(output, flow_table(flows, output.format == Format::kWide, now_ms()), flows_json(flows)));
  say_what_is_missing(*reply);
  return kOk;
}

}  // namespace leat::cli
