// A hash map that generations of the model share: a copy costs a pointer a shard, and an edit copies the one shard that
// it touches, if anybody else still has it. So an edit of a big mesh costs what it changes, and a worker that lets go
// of the last generation frees no more than that.
//
// One thread edits; any number may read and drop other copies meanwhile.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "userspace-proxy/mesh/ref.h"

namespace leat::proxy {

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

template <typename Key, typename Value, typename Hash = std::hash<Key>>
class SharedMap {
 public:
  // Null where there is none; valid until the next edit of this map.
  template <typename Like>
  [[nodiscard]] const Value* find(const Like& key) const {
    const Ref<Shard>& shard = shards_[shard_of(key)];
    if (!shard) return nullptr;
    const auto found = shard->entries.find(key);
    return found == shard->entries.end() ? nullptr : &found->second;
  }

  void put(const Key& key, Value value) { own(shard_of(key)).insert_or_assign(key, std::move(value)); }
  template <typename Like>
  void erase(const Like& key) {
    if (find(key) == nullptr) return;
    Entries& entries = own(shard_of(key));
    entries.erase(entries.find(key));
  }

  // `visit`: (const Key&, const Value&); it must not edit this map.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const Ref<Shard>& shard : shards_) {
      if (!shard) continue;
      for (const auto& [key, value] : shard->entries) visit(key, value);
    }
  }

 private:
  static constexpr size_t kShards = 256;  // 100,000 entries: 400 are copied for one that changes
  using Entries = std::unordered_map<Key, Value, Hash, std::equal_to<>>;
  struct Shard : RefCounted {
    Entries entries;
  };

  // Bits that the table of a shard makes no use of; hashes of numbers need mixing for that.
  template <typename Like>
  static size_t shard_of(const Like& key) {
    return Hash()(key) * 0x9e3779b97f4a7c15u >> 56;
  }
  Entries& own(size_t index) {
    Ref<Shard>& shard = shards_[index];
    if (!shard) {
      shard = Ref<Shard>(new Shard);
    } else if (!shard.is_sole()) {
      shard = Ref<Shard>(new Shard(*shard));
    }
    return shard->entries;
  }

  std::array<Ref<Shard>, kShards> shards_;
};

}  // namespace leat::proxy
