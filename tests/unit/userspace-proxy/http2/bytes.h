// What goes into a session, and what comes out, as text.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "userspace-proxy/http2/session.h"

namespace leat::test {

inline ring::Chain chain_of(ring::BufferPool& pool, std::string_view text) {
  ring::Chain chain;
  REQUIRE(chain.append_copy(pool, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  return chain;
}

inline std::string text_of(const ring::Chain& chain) {
  std::string text;
  for (const auto& slice : chain.slices()) text.append(reinterpret_cast<const char*>(slice.data()), slice.size());
  return text;
}

inline std::string output_of(http2::Session& session, size_t limit = SIZE_MAX) {
  ring::Chain out;
  session.produce(out, limit);
  return text_of(out);
}

}  // namespace leat::test
