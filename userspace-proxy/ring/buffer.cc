#include "userspace-proxy/ring/buffer.h"

#include <sys/mman.h>

#include <algorithm>

#include "common/check.h"

namespace leat::ring {

uint32_t Buffer::tail_room() const {
  if (!pool_) return 0;
  return static_cast<uint32_t>(pool_->block(block_) + BufferPool::kBlockBytes - (data_ + size_));
}

bool Buffer::sole_owner() const { return pool_ && pool_->references_[block_] == 1; }

Buffer Buffer::share(uint32_t offset, uint32_t size) const {
  LEAT_CHECK(pool_ && offset + size <= size_, "slice outside its buffer");
  ++pool_->references_[block_];
  return {pool_, block_, data_ + offset, size};
}

BufferPool::BufferPool(uint32_t blocks) : blocks_(blocks), references_(blocks), touched_(blocks) {
  LEAT_CHECK(blocks >= 2 && blocks <= 32768, "buffer pool size");
  void* memory = mmap(nullptr, static_cast<size_t>(blocks) * kBlockBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  LEAT_CHECK(memory != MAP_FAILED, "no address space for the buffer pool");
  memory_ = static_cast<uint8_t*>(memory);
  free_.reserve(blocks);
  for (uint32_t id = blocks; id > 0; --id) free_.push_back(id - 1);
  low_water_ = free_.size();
}

BufferPool::~BufferPool() { munmap(memory_, static_cast<size_t>(blocks_) * kBlockBytes); }

int32_t BufferPool::lend() {
  if (free_.empty()) return -1;
  const uint32_t id = free_.back();
  free_.pop_back();
  low_water_ = std::min(low_water_, free_.size());
  touched_[id] = true;
  return static_cast<int32_t>(id);
}

Buffer BufferPool::allocate() {
  const int32_t id = lend();
  return id < 0 ? Buffer() : adopt(static_cast<uint32_t>(id), 0);
}

Buffer BufferPool::adopt(uint32_t id, uint32_t size) {
  LEAT_CHECK(references_[id] == 0, "block adopted twice");
  references_[id] = 1;
  return {this, id, block(id), size};
}

void BufferPool::release(uint32_t id) {
  LEAT_CHECK(references_[id] > 0, "block released twice");
  if (--references_[id] == 0) free_.push_back(id);
}

void BufferPool::trim() {
  // The first low_water_ entries of the stack were not popped since the last call.
  for (size_t i = 0; i < std::min(low_water_, free_.size()); ++i) {
    const uint32_t id = free_[i];
    if (!touched_[id]) continue;
    madvise(block(id), kBlockBytes, MADV_DONTNEED);
    touched_[id] = false;
  }
  low_water_ = free_.size();
}

void Chain::make_room() {
  const uint32_t count = end_ - begin_;
  if (begin_ >= capacity_ / 2 && begin_ > 0) {
    std::move(slots_ + begin_, slots_ + end_, slots_);
  } else {
    const uint32_t larger = std::max(kKeptSlots, capacity_ * 2);
    auto* slots = new Buffer[larger];
    std::move(slots_ + begin_, slots_ + end_, slots);
    if (slots_ != &own_slot_) delete[] slots_;
    slots_ = slots;
    capacity_ = larger;
  }
  begin_ = 0;
  end_ = count;
}

void Chain::clear() {
  if (capacity_ > kKeptSlots) return release();
  for (uint32_t i = begin_; i < end_; ++i) slots_[i] = Buffer();
  begin_ = end_ = 0;
  size_ = 0;
}

void Chain::release() {
  if (slots_ != &own_slot_) delete[] std::exchange(slots_, &own_slot_);
  own_slot_ = Buffer();
  capacity_ = 1;
  begin_ = end_ = 0;
  size_ = 0;
}

void Chain::take_over(Chain& other) noexcept {
  own_slot_ = std::move(other.own_slot_);
  slots_ = other.slots_ == &other.own_slot_ ? &own_slot_ : other.slots_;
  capacity_ = std::exchange(other.capacity_, 1);
  begin_ = std::exchange(other.begin_, 0);
  end_ = std::exchange(other.end_, 0);
  size_ = std::exchange(other.size_, 0);
  other.slots_ = &other.own_slot_;
}

bool Chain::append_copy(BufferPool& pool, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    if (begin_ == end_ || slots_[end_ - 1].tail_room() == 0 || !slots_[end_ - 1].sole_owner()) {
      Buffer fresh = pool.allocate();
      if (!fresh.has_block()) return false;
      push(std::move(fresh));
    }
    Buffer& last = slots_[end_ - 1];
    const auto part = static_cast<uint32_t>(std::min<size_t>(bytes.size(), last.tail_room()));
    std::memcpy(last.data() + last.size(), bytes.data(), part);
    last.grow(part);
    size_ += part;
    bytes = bytes.subspan(part);
  }
  return true;
}

void Chain::consume(size_t bytes) {
  LEAT_CHECK(bytes <= size_, "consuming more than a chain holds");
  size_ -= bytes;
  while (bytes > 0) {
    Buffer& front = slots_[begin_];
    if (bytes < front.size()) {
      front.drop_front(static_cast<uint32_t>(bytes));
      break;
    }
    bytes -= front.size();
    front = Buffer();
    ++begin_;
  }
  if (size_ == 0) clear();
}

Chain Chain::share() const {
  Chain shared;
  for (const Buffer& slice : slices()) shared.append(slice.share(0, slice.size()));
  return shared;
}

Chain Chain::take(size_t bytes) {
  Chain taken;
  bytes = std::min(bytes, size_);
  while (taken.size_ < bytes) {
    Buffer& front = slots_[begin_];
    const size_t rest = bytes - taken.size_;
    if (front.size() <= rest) {
      size_ -= front.size();
      taken.append(std::move(front));
      ++begin_;
    } else {
      taken.append(front.share(0, static_cast<uint32_t>(rest)));
      front.drop_front(static_cast<uint32_t>(rest));
      size_ -= rest;
    }
  }
  if (size_ == 0) clear();
  return taken;
}

size_t Chain::gather(iovec* out, size_t max) const {
  size_t count = 0;
  for (const Buffer& slice : slices()) {
    if (count == max) break;
    out[count++] = {slice.data(), slice.size()};
  }
  return count;
}

}  // namespace leat::ring
