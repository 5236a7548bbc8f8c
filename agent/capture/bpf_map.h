// A pinned BPF map with typed keys and values, and a table in one that follows wanted rows by differences.
#pragma once

#include <bpf/bpf.h>

#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <type_traits>

#include "common/result.h"
#include "common/unique_fd.h"

namespace leat::capture {

// Rows in the order of their keys' bytes; types.h leaves no unnamed padding, so bytes are identity.
struct ByteLess {
  template <typename T>
  bool operator()(const T& a, const T& b) const {
    static_assert(std::has_unique_object_representations_v<T>);
    return std::memcmp(&a, &b, sizeof(T)) < 0;
  }
};
template <typename Key, typename Value>
using Rows = std::map<Key, Value, ByteLess>;

template <typename Key, typename Value>
class BpfMap {
 public:
  // `folder` holds the pins. The kernel's idea of the sizes must be ours.
  static Result<BpfMap> open(const std::string& folder, const std::string& name) {
    UniqueFd fd(bpf_obj_get((folder + "/" + name).c_str()));
    if (!fd) return fail_errno(errno, "opening the pinned map {}/{}", folder, name);
    return BpfMap(std::move(fd), name);
  }

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }

  [[nodiscard]] std::optional<Value> find(const Key& key) const {
    Value value{};
    if (bpf_map_lookup_elem(fd_.get(), &key, &value) != 0) return std::nullopt;
    return value;
  }

  Result<void> set(const Key& key, const Value& value) {
    if (bpf_map_update_elem(fd_.get(), &key, &value, BPF_ANY) == 0) return {};
    if (errno == E2BIG || errno == ENOSPC) return fail(ErrorCode::kExhausted, "map {} is full", name_);
    return fail_errno(errno, "writing map {}", name_);
  }

  Result<void> erase(const Key& key) {
    if (bpf_map_delete_elem(fd_.get(), &key) == 0 || errno == ENOENT || errno == EINVAL) return {};
    return fail_errno(errno, "deleting from map {}", name_);
  }

  // Not a snapshot: rows that come or go meanwhile may be missed.
  [[nodiscard]] Rows<Key, Value> rows() const {
    Rows<Key, Value> found;
    Key key{};
    for (const Key* before = nullptr; bpf_map_get_next_key(fd_.get(), before, &key) == 0; before = &key) {
      if (auto value = find(key)) found.emplace(key, *value);
    }
    return found;
  }

 private:
  BpfMap(UniqueFd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}
  UniqueFd fd_;
  std::string name_;
};

// A map that only the agent writes: what is in it is known, so only differences are written.
template <typename Key, typename Value>
class Table {
 public:
  static Result<Table> open(const std::string& folder, const std::string& name) {
    LEAT_TRY(auto map, (BpfMap<Key, Value>::open(folder, name)));
    return Table(std::move(map));
  }

  Result<void> set(const Key& key, const Value& value) {
    const auto known = rows_.find(key);
    if (known != rows_.end() && std::memcmp(&known->second, &value, sizeof(Value)) == 0) return {};
    LEAT_TRY_VOID(map_.set(key, value));
    rows_.insert_or_assign(key, value);
    return {};
  }

  Result<void> erase(const Key& key) {
    LEAT_TRY_VOID(map_.erase(key));
    rows_.erase(key);
    return {};
  }

  Result<void> add(const Rows<Key, Value>& wanted) {
    for (const auto& [key, value] : wanted) LEAT_TRY_VOID(set(key, value));
    return {};
  }

  Result<void> remove_all_but(const Rows<Key, Value>& wanted) {
    for (auto row = rows_.begin(); row != rows_.end();) {
      const Key key = row->first;
      ++row;
      if (!wanted.contains(key)) LEAT_TRY_VOID(erase(key));
    }
    return {};
  }

  [[nodiscard]] const Rows<Key, Value>& rows() const { return rows_; }

 private:
  explicit Table(BpfMap<Key, Value> map) : map_(std::move(map)), rows_(map_.rows()) {}
  BpfMap<Key, Value> map_;
  Rows<Key, Value> rows_;
};

}  // namespace leat::capture
