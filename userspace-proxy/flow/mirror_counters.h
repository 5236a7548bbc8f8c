// What became of a worker's mirrored requests.
#pragma once

#include <cstdint>

namespace leat::proxy {

struct MirrorCounters {
  uint64_t sent = 0;
  uint64_t failed = 0;   // no endpoint, no connection, no answer
  uint64_t dropped = 0;  // not begun: the body is too large or not whole, or too many are under way
  uint32_t under_way = 0;
};

}  // namespace leat::proxy
