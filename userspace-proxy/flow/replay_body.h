// What a client has sent of a request's body, kept to be sent again to another endpoint: copied, so that no buffer of
// the worker is held while a server thinks. A body that grows too large, or finds the worker's share used up, is not
// kept any more.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "userspace-proxy/limits.h"
#include "userspace-proxy/ring/buffer.h"

namespace leat::proxy {

class ReplayBody {
 public:
  ReplayBody() = default;
  ReplayBody(const ReplayBody&) = delete;
  ReplayBody& operator=(const ReplayBody&) = delete;
  ~ReplayBody() { clear(); }

  // The next bytes. `kept_in_all`: the worker's count, which lives as long as it does.
  void add(const ring::Chain& bytes, size_t& kept_in_all) {
    if (!whole_ || bytes.empty()) return;
    if (bytes_.size() + bytes.size() > limits::kReplayBytes ||
        kept_in_all + bytes.size() > limits::kReplayBytesAWorker) {
      return give_up();
    }
    kept_in_all_ = &kept_in_all;
    kept_in_all += bytes.size();
    for (const ring::Buffer& slice : bytes.slices())
      bytes_.insert(bytes_.end(), slice.bytes().begin(), slice.bytes().end());
  }
  void give_up() {
    clear();
    whole_ = false;
  }
  // As new.
  void clear() {
    if (kept_in_all_) *kept_in_all_ -= bytes_.size();
    kept_in_all_ = nullptr;
    bytes_.clear();
    if (bytes_.capacity() > kKeptCapacity) bytes_.shrink_to_fit();
    whole_ = true;
  }

  [[nodiscard]] bool whole() const { return whole_; }  // nothing of what was added is missing
  [[nodiscard]] std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  static constexpr size_t kKeptCapacity = 4 * 1024;  // of what lies in the stock
  std::vector<uint8_t> bytes_;
  size_t* kept_in_all_ = nullptr;
  bool whole_ = true;
};

}  // namespace leat::proxy
