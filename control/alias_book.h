// Which address has which alias id (bpf/alias.h), for as long as anybody may still hold a connection that shows it.
//
// Ids are handed out in ascending order, all 4 million before any is used again, then the one that rested longest. An
// id belongs to an address, not to a pod: a pod address that comes back finds its old id. The agent writes the book to
// disk before it uses an id that is new.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/ip.h"
#include "common/result.h"

namespace leat::control {

// What an id stands for. A Service address with endpoints on this node has a second id, `remote_only`: the kernel took
// the local share.
struct AliasKey {
  IpAddress address;
  bool remote_only = false;
  auto operator<=>(const AliasKey&) const = default;
};

class AliasBook {
 public:
  // `limit`: ids are 0 … limit-1. `max_retired`: so many addresses that nobody holds keep their id, the latest ones.
  explicit AliasBook(uint32_t limit = kIds, size_t max_retired = kMaxRetired);

  // The id of `key`, new or known, and holds it until as many release() calls. kExhausted: all ids are held.
  Result<uint32_t> hold(const AliasKey& key);
  // One holder less. The last one retires the key: its id still decodes, until it is forgotten to make room.
  void release(const AliasKey& key);

  [[nodiscard]] std::optional<uint32_t> find(const AliasKey& key) const;
  // Retired keys with their ids, by id: connections that began before may still show them.
  [[nodiscard]] std::vector<std::pair<uint32_t, AliasKey>> retired() const;
  [[nodiscard]] bool is_retired(const AliasKey& key) const;
  // The keys, by id, that were retired, held again or forgotten since the last call.
  std::map<uint32_t, AliasKey> take_turned() { return std::exchange(turned_, {}); }
  [[nodiscard]] size_t size() const { return entries_.size(); }

  // Counts up whenever the saved form changes: compare with the number at the last save.
  [[nodiscard]] uint64_t version() const { return version_; }
  // Ids survive a restart; holders do not (they hold again). The order of rest is not kept.
  [[nodiscard]] std::string save() const;
  static Result<AliasBook> load(std::string_view text);

  static constexpr uint32_t kIds = 0x003fffff;  // 2^22 - 1: the last one would be 127.255.255.255
  static constexpr size_t kMaxRetired = 16384;  // 0.3 MB of kernel map; some days of pod churn on a node

 private:
  struct Entry {
    uint32_t id = 0;
    uint32_t holders = 0;
    uint64_t retired_at = 0;  // key into retired_ while there is no holder
  };
  std::optional<uint32_t> take_id();
  void retire(const AliasKey& key, Entry& entry);
  void forget_oldest();

  uint32_t limit_;
  size_t max_retired_;
  uint32_t next_ = 0;             // never handed out from here on
  std::deque<uint32_t> resting_;  // handed out once and free, the longest rested first
  std::map<AliasKey, Entry> entries_;
  std::map<uint64_t, AliasKey> retired_;  // the oldest first
  std::map<uint32_t, AliasKey> turned_;
  uint64_t retirements_ = 0;
  uint64_t version_ = 0;
};

}  // namespace leat::control
