#include "userspace-proxy/ring/provided_blocks.h"

#include <algorithm>

#include "common/check.h"

namespace leat::ring {

Result<void> ProvidedBlocks::enlist(io_uring& ring) {
  constexpr size_t kPage = 4096;
  const size_t bytes = (positions_ * sizeof(io_uring_buf) + kPage - 1) / kPage * kPage;
  ring_.reset(static_cast<io_uring_buf_ring*>(std::aligned_alloc(kPage, bytes)));
  LEAT_CHECK(ring_, "out of memory");
  io_uring_buf_ring_init(ring_.get());
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uintptr_t>(ring_.get());
  registration.ring_entries = positions_;
  registration.bgid = group_;
  if (const int result = io_uring_register_buf_ring(&ring, &registration, 0); result < 0) {
    return fail_errno(-result, "io_uring: registering the ring of provided buffers (needs Linux 5.19)");
  }
  return {};
}

void ProvidedBlocks::refill() {
  const int mask = io_uring_buf_ring_mask(positions_);
  int added = 0;
  for (; standing_ < positions_ && pool_.free_blocks() > keep_; ++added, ++standing_) {
    const auto block = static_cast<uint32_t>(pool_.lend());
    const uint32_t position = tail_++ & (positions_ - 1);
    block_at_[position] = static_cast<uint16_t>(block);
    io_uring_buf_ring_add(ring_.get(), pool_.block(block), BufferPool::kBlockBytes, static_cast<uint16_t>(position),
                          mask, added);
  }
  if (added > 0) io_uring_buf_ring_advance(ring_.get(), added);
}

void ProvidedBlocks::take(Chain& into, uint32_t position, uint32_t bytes) {
  for (; bytes > 0; position = (position + 1) & (positions_ - 1)) {
    const uint32_t part = std::min(bytes, BufferPool::kBlockBytes);
    into.append(pool_.adopt(block_at_[position], part));
    --standing_;
    bytes -= part;
  }
}

void ProvidedBlocks::take_back(uint32_t position) {
  static_cast<void>(pool_.adopt(block_at_[position], 0));
  --standing_;
}

}  // namespace leat::ring
