// Blocks lent to the kernel: a ring of provided buffers, from which a receive picks only when bytes are there. Few
// stand in it at a time, refilled from the pool each turn, so that a quiet worker touches little memory. Internal to
// ring/.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "common/result.h"
#include "userspace-proxy/ring/buffer.h"
#include "userspace-proxy/ring/uring_abi.h"

namespace leat::ring {

class ProvidedBlocks {
 public:
  // `positions`: how many stand at most, a power of two. `keep`: how many free blocks it leaves in the pool.
  ProvidedBlocks(BufferPool& pool, uint16_t group, uint32_t positions, uint32_t keep)
      : pool_(pool), block_at_(positions), positions_(positions), keep_(keep), group_(group) {}

  // The kernel reads the ring's memory until `ring` is gone, so this object must outlive it.
  Result<void> enlist(io_uring& ring);
  void refill();
  [[nodiscard]] uint16_t group() const { return group_; }
  [[nodiscard]] uint32_t standing() const { return standing_; }

  // A completion names the position of its first block; the others lie behind it in the ring, and all but the last are
  // full.
  void take(Chain& into, uint32_t position, uint32_t bytes);
  // The kernel took a block and put nothing in it.
  void take_back(uint32_t position);

 private:
  struct Free {
    void operator()(io_uring_buf_ring* memory) const { std::free(memory); }
  };
  BufferPool& pool_;
  std::unique_ptr<io_uring_buf_ring, Free> ring_;
  std::vector<uint16_t> block_at_;
  uint32_t positions_;
  uint32_t keep_;
  uint32_t tail_ = 0;
  uint32_t standing_ = 0;
  uint16_t group_;
};

}  // namespace leat::ring
