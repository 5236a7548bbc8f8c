#include "userspace-proxy/telemetry/response_flags.h"

#include <string_view>
#include <utility>

namespace leat::proxy {

std::string words(ResponseFlags flags) {
  constexpr std::pair<ResponseFlag, std::string_view> kWords[] = {
      {ResponseFlag::kNoHealthyUpstream, "UH"}, {ResponseFlag::kConnectFailure, "UF"},
      {ResponseFlag::kTimeout, "UT"},           {ResponseFlag::kUpstreamClosed, "UC"},
      {ResponseFlag::kOverflow, "UO"},          {ResponseFlag::kNoRoute, "NR"},
      {ResponseFlag::kRetriesExhausted, "URX"}, {ResponseFlag::kDownstreamClosed, "DC"},
      {ResponseFlag::kDelayInjected, "DI"},     {ResponseFlag::kFaultInjected, "FI"},
      {ResponseFlag::kBadRequest, "DPE"},
  };
  std::string text;
  for (const auto& [flag, word] : kWords) {
    if (!flags.has(flag)) continue;
    if (!text.empty()) text += ',';
    text += word;
  }
  return text.empty() ? "-" : text;
}

}  // namespace leat::proxy
