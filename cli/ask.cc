#include "cli/ask.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "cli/agent_client.h"

namespace leat::cli {
namespace {

bool terminal_has_colours() {
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr && terminal != nullptr &&
         std::string_view(terminal) != "dumb";
}

}  // namespace

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Output output_of(const Options& options) {
  Output output{.coloured = terminal_has_colours()};
  if (options.output == "wide") output.format = Format::kWide;
  if (options.output == "json") output.format = Format::kJson;
  if (options.output == "jsonl") output.format = Format::kJsonl;
  return output;
}

int unreachable(const Options& options, const Error& error) {
  complain(fmt::format("can't reach {}: {}", options.agent.text(), error.message), options.agent.cure());
  return kNoAgent;
}

void say_what_is_missing(const v1::ApiReply& reply) {
  if (!reply.error().empty()) complain(fmt::format("the answer is not complete: {}", reply.error()));
}

Result<v1::ApiReply> ask_agent(const Options& options, const v1::ApiRequest& request) {
  LEAT_TRY(AgentClient client, AgentClient::connect(options.agent));
  return client.ask(request);
}

int print_view(const Options& options, const View& view, const v1::ApiReply& reply) {
  print(render(output_of(options), view.table, view.list));
  say_what_is_missing(reply);
  return kOk;
}

int show(const Options& options, const v1::ApiRequest& request, const MakeView& view) {
  const Result<v1::ApiReply> reply = ask_agent(options, request);
  if (!reply) return unreachable(options, reply.error());
  return print_view(options, view(*reply, output_of(options).format == Format::kWide), *reply);
}

int show_each(const Options& options, const v1::ApiRequest& request, const MakeView& view) {
  if (!options.agent.cluster) return show(options, request, view);
  Result<AgentClient> client = AgentClient::connect(options.agent);
  const auto replies = client ? client->ask_each(request) : std::unexpected(client.error());
  if (!replies) return unreachable(options, replies.error());
  View all{Table({}), Json::array()};
  for (const NodeReply& each : *replies) {
    View one = view(each.reply, output_of(options).format == Format::kWide);
    one.table.put_before("NODE", each.node);
    for (Json& item : one.list) {
      if (!item.contains("node")) item["node"] = each.node;
      all.list.push_back(std::move(item));
    }
    all.table.append(std::move(one.table));
  }
  return print_view(options, all, replies->front().reply);
}

}  // namespace leat::cli
