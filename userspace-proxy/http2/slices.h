// Passing bytes from one queue to another without copying more than is good.
#pragma once

#include "userspace-proxy/http2/limits.h"
#include "userspace-proxy/ring/buffer.h"

namespace leat::http2 {

// Appends `offset`, `size` of `from` to `to`: long slices are shared. A short one that would wait behind others is
// copied beside them, so that a queue of small messages does not pin a 16 KiB block each; a short one alone is shared,
// for it will be gone at once.
inline void pass(const ring::Buffer& from, uint32_t offset, uint32_t size, ring::Chain& to, ring::BufferPool& pool) {
  const bool copy =
      size < limits::kShareBytes && !to.empty() && pool.free_blocks() > 0;  // one block is the most that it can need
  if (!copy || !to.append_copy(pool, from.bytes().subspan(offset, size))) to.append(from.share(offset, size));
}

}  // namespace leat::http2
