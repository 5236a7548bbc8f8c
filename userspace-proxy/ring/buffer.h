// Memory for bytes in flight. A BufferPool hands out blocks of one size; a Buffer is a counted slice of a block; a
// Chain is a queue of slices. Blocks are reused last-in first-out, so that a quiet proxy touches few pages. Everything
// here belongs to one worker thread.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace leat::ring {

class BufferPool;

// A counted slice of a block. Copying is explicit (share()); an empty Buffer has no block.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~Buffer();

  [[nodiscard]] uint8_t* data() const { return data_; }
  [[nodiscard]] uint32_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool has_block() const { return pool_ != nullptr; }
  [[nodiscard]] std::span<const uint8_t> bytes() const { return {data_, size_}; }
  // Room behind the slice in its block; only the block's sole owner may write there.
  [[nodiscard]] uint32_t tail_room() const;
  [[nodiscard]] bool sole_owner() const;
  void grow(uint32_t bytes) { size_ += bytes; }  // after writing into the tail room
  void drop_front(uint32_t bytes) { data_ += bytes, size_ -= bytes; }
  void drop_back(uint32_t bytes) { size_ -= bytes; }
  // A second slice of the same block.
  [[nodiscard]] Buffer share(uint32_t offset, uint32_t size) const;

 private:
  friend class BufferPool;
  Buffer(BufferPool* pool, uint32_t block, uint8_t* data, uint32_t size)
      : pool_(pool), data_(data), size_(size), block_(block) {}
  void swap(Buffer& other) noexcept {
    std::swap(pool_, other.pool_), std::swap(data_, other.data_), std::swap(size_, other.size_),
        std::swap(block_, other.block_);
  }
  BufferPool* pool_ = nullptr;
  uint8_t* data_ = nullptr;
  uint32_t size_ = 0;
  uint32_t block_ = 0;
};

class BufferPool {
 public:
  static constexpr uint32_t kBlockBytes = 16 * 1024;

  // Reserves address space for `blocks` (2 … 32768); memory is touched only when used.
  explicit BufferPool(uint32_t blocks);
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();

  // A Buffer of size 0 with a whole block as tail room, or one without a block when the pool is empty.
  [[nodiscard]] Buffer allocate();
  // For the kernel's provided-buffer ring: takes a block out of the pool by id (-1: empty), and back as a Buffer of
  // `size` bytes.
  [[nodiscard]] int32_t lend();
  [[nodiscard]] Buffer adopt(uint32_t block, uint32_t size);

  [[nodiscard]] uint8_t* block(uint32_t id) const { return memory_ + static_cast<size_t>(id) * kBlockBytes; }
  [[nodiscard]] uint32_t blocks() const { return blocks_; }
  [[nodiscard]] uint32_t free_blocks() const { return static_cast<uint32_t>(free_.size()); }
  // Gives the memory of free blocks that were not used since the last call back to the system; call it every few
  // seconds.
  void trim();

 private:
  friend class Buffer;
  void release(uint32_t block);
  uint8_t* memory_ = nullptr;
  uint32_t blocks_;
  std::vector<uint16_t> references_;
  std::vector<uint32_t> free_;  // last in, first out
  std::vector<bool> touched_;   // holds memory
  size_t low_water_ = 0;        // fewest free blocks since the last trim()
};

inline Buffer::~Buffer() {
  if (pool_) pool_->release(block_);
}

// A queue of slices. Moves only. One slice needs no memory of its own: that is what most messages are.
class Chain {
 public:
  Chain() = default;
  explicit Chain(Buffer buffer) { append(std::move(buffer)); }
  Chain(Chain&& other) noexcept { take_over(other); }
  Chain& operator=(Chain&& other) noexcept {
    if (this != &other) {
      release();
      take_over(other);
    }
    return *this;
  }
  ~Chain() {
    if (slots_ != &own_slot_) delete[] slots_;
  }

  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::span<const Buffer> slices() const { return {slots_ + begin_, end_ - begin_}; }

  void append(Buffer buffer) {
    if (buffer.empty()) return;
    size_ += buffer.size();
    push(std::move(buffer));
  }
  void append(Chain&& other) {
    for (uint32_t i = other.begin_; i < other.end_; ++i) append(std::move(other.slots_[i]));
    other.clear();
  }
  // Copies into the last block's room, then into new blocks. False if the pool ran dry; what fitted stays appended.
  [[nodiscard]] bool append_copy(BufferPool& pool, std::span<const uint8_t> bytes);
  // Drops `bytes` from the front.
  void consume(size_t bytes);
  // A second chain of the same bytes.
  [[nodiscard]] Chain share() const;
  // Moves the first `bytes` (at most size()) out.
  [[nodiscard]] Chain take(size_t bytes);
  // Fills at most `max` iovecs from the front; returns how many.
  size_t gather(iovec* out, size_t max) const;
  void clear();

 private:
  static constexpr uint32_t kKeptSlots = 8;  // by a chain that has run empty; more go back

  void push(Buffer buffer) {
    if (end_ == capacity_) make_room();
    slots_[end_++] = std::move(buffer);
  }
  void make_room();
  void release();                         // empty and without memory
  void take_over(Chain& other) noexcept;  // into a chain that is so

  Buffer own_slot_;
  Buffer* slots_ = &own_slot_;
  uint32_t capacity_ = 1;
  uint32_t begin_ = 0;
  uint32_t end_ = 0;
  size_t size_ = 0;
};

}  // namespace leat::ring
