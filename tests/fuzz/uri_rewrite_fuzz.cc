// "expression\nreplacement\npath": whatever is rewritten is a path, and no longer than a server takes.
#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "userspace-proxy/route/uri.h"

namespace {

std::string_view line(std::string_view& text) {
  const std::string_view first = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(first.size() + 1, text.size()));
  return first;
}

void rewrite(const leat::v1::Rewrite& message, std::string_view path) {
  using namespace leat::proxy::route;
  std::string problem;
  const PathRewrite rewrite(message, &problem);
  for (const MatchedPath matched : {MatchedPath{}, MatchedPath{path.size() / 2, true}, MatchedPath{path.size(), true},
                                    MatchedPath{path.size() + 1, false}}) {
    const auto written = rewrite.apply(path, matched);
    if (!written) continue;
    LEAT_CHECK(written->starts_with('/') || *written == "*", "a path that is none");
    LEAT_CHECK(written->size() <= kMaxPathBytes, "a path that is too long");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view expression = line(text);
  const std::string_view replacement = line(text);
  leat::v1::Rewrite message;
  message.mutable_regex()->set_match(std::string(expression));
  message.mutable_regex()->set_rewrite(std::string(replacement));
  rewrite(message, text);
  message.set_prefix(std::string(replacement));
  rewrite(message, text);
  return 0;
}
