#pragma once

#include <map>
#include <set>

namespace leat::control {

// The keys whose values differ, or that one of the two maps does not have.
template <typename Key, typename Value>
std::set<Key> differing_keys(const std::map<Key, Value>& before, const std::map<Key, Value>& after) {
  std::set<Key> keys;
  auto old = before.begin();
  for (const auto& [key, value] : after) {
    for (; old != before.end() && old->first < key; ++old) keys.insert(old->first);
    const bool known = old != before.end() && old->first == key;
    if (!known || !(old->second == value)) keys.insert(key);
    if (known) ++old;
  }
  for (; old != before.end(); ++old) keys.insert(old->first);
  return keys;
}

}  // namespace leat::control
