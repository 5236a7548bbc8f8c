#include "cli/tap.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "cli/agent_client.h"

namespace leat::cli {
namespace {

constexpr std::chrono::milliseconds kInterval{250};

v1::ApiRequest question(uint64_t since) {
  v1::ApiRequest request;
  request.mutable_tap()->set_since_sequence(since);
  return request;
}

std::vector<v1::TappedRequest> matching(const v1::ApiReply& reply, const TapFilter& filter) {
  std::vector<v1::TappedRequest> requests;
  std::ranges::copy_if(reply.tapped(), std::back_inserter(requests),
                       [&](const v1::TappedRequest& request) { return filter.matches(request); });
  std::ranges::sort(requests, {}, [](const auto& request) {
    return std::pair(request.started_ms() + static_cast<int64_t>(request.duration_us() / 1000), request.sequence());
  });
  return requests;
}

}  // namespace

int tap(const TapOptions& options) {
  Result<AgentClient> client = AgentClient::connect(options.agent);
  uint64_t cursor = 0;
  uint64_t shown = 0;
  std::optional<uint64_t> dropped;
  std::vector<size_t> widths;
  const bool wide = options.output.format == Format::kWide;
  const bool as_json = options.output.format == Format::kJsonl;
  if (client && !as_json) print(tap_table({}, wide).render_header(widths));
  for (;;) {
    const Result<v1::ApiReply> reply =
        client ? client->ask(question(cursor)) : Result<v1::ApiReply>(std::unexpected(client.error()));
    if (!reply) {
      complain(fmt::format("can't reach {}: {}", options.agent.text(), reply.error().message), options.agent.cure());
      return kNoAgent;
    }
    const bool first = cursor == 0;  // what it may have from another reader is over already
    cursor = reply->next_tap_sequence();
    if (dropped && *dropped < reply->tap_dropped())
      complain(fmt::format("{} requests ended faster than they could be shown", reply->tap_dropped() - *dropped));
    dropped = reply->tap_dropped();
    std::vector<v1::TappedRequest> fresh;
    if (!first) fresh = matching(*reply, options.filter);
    if (options.count > 0 && fresh.size() > options.count - shown) fresh.resize(options.count - shown);
    if (as_json) {
      for (const v1::TappedRequest& request : fresh) print(json_line(tap_json(request)));
    } else if (!fresh.empty()) {
      print(tap_table(fresh, wide).render_rows(options.output.coloured, widths));
    }
    shown += fresh.size();
    if (options.count > 0 && shown >= options.count) return kOk;
    if (first) complain("tapping");  // a script may send its requests from here on
    std::this_thread::sleep_for(kInterval);
  }
}

}  // namespace leat::cli
