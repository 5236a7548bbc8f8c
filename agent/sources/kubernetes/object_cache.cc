#include "agent/sources/kubernetes/object_cache.h"

#include <utility>

namespace leat::sources {
namespace {

using control::Name;
using control::Object;
using control::ObjectKey;
using control::Value;

// Kubernetes itself has seen to the fields of its own kinds, and newer versions of it have more. A mesh's kinds are
// looked at: a field that Leat does not honour must be said.
bool is_built_in(const control::Reader& reader) {
  return reader.api_versions == "v1" || reader.api_versions.starts_with("discovery.k8s.io/") ||
         reader.api_versions.starts_with("networking.k8s.io/");
}

Name name_in(const Value& document, const control::Reader& reader) {
  const Value* metadata = document.find("metadata");
  const auto text = [metadata](std::string_view field) {
    const Value* value = metadata == nullptr ? nullptr : metadata->find(field);
    return value == nullptr ? "" : value->text;
  };
  return {reader.cluster_scoped ? "" : text("namespace"), text("name")};
}

// A kubelet renews what its Node says again and again; Leat reads its labels only.
template <typename Kind>
bool is_same(const Object& object, const Kind* before) {
  const auto* now = std::get_if<Kind>(&object);
  return now != nullptr && before != nullptr && now->meta.labels == before->meta.labels &&
         now->meta.uid == before->meta.uid;
}

}  // namespace

bool ObjectCache::put(const control::Reader& reader, const Value& document) {
  const ObjectKey key{reader.kind, name_in(document, reader)};
  names_[reader.kind].insert(key.name);
  listed_[reader.kind].insert(key.name);
  if (says_the_same(key, document)) {
    read_facts(reader, document, true, facts_[key]);
    return false;
  }
  control::Findings fresh;
  control::FindingSink sink{
      .file = "", .first_line = 0, .object = "", .findings = fresh, .check_fields = !is_built_in(reader)};
  std::optional<Object> object = control::read_document(document, reader, "default", sink);
  bool changed = !fresh.empty() || findings_.contains(key);
  if (fresh.empty()) {
    findings_.erase(key);
  } else {
    findings_[key] = std::move(fresh);
  }
  if (has_facts(reader)) read_facts(reader, document, object.has_value(), facts_[key]);
  if (!object) return changed;
  if (is_route(key.kind)) not_judged_.insert(key);
  complete_(*object);
  if (is_same(*object, objects_.find<control::Node>(key.name)) ||
      is_same(*object, objects_.find<control::Namespace>(key.name)))
    return changed;  // nor is it put: a change of one of these compiles everything
  objects_.put(std::move(*object));
  return true;
}

// A route whose status was written, as it is by the agents themselves: its spec is what it was.
bool ObjectCache::says_the_same(const ObjectKey& key, const Value& document) const {
  const auto known = facts_.find(key);
  const int64_t generation = generation_of(document);
  const Value* metadata = document.find("metadata");
  const Value* uid = metadata == nullptr ? nullptr : metadata->find("uid");
  return is_route(key.kind) && known != facts_.end() && generation != 0 && known->second.generation == generation &&
         uid != nullptr && uid->text == known->second.uid;
}

void ObjectCache::judged() {
  for (const ObjectKey& key : std::exchange(not_judged_, {})) {
    if (const auto found = facts_.find(key); found != facts_.end()) found->second.judged = found->second.generation;
  }
}

bool ObjectCache::remove(const control::Reader& reader, const Value& document) {
  return forget({reader.kind, name_in(document, reader)});
}

bool ObjectCache::forget(const ObjectKey& key) {
  findings_.erase(key);
  facts_.erase(key);
  objects_.remove(key);
  listed_[key.kind].erase(key.name);
  return names_[key.kind].erase(key.name) > 0;
}

bool ObjectCache::end_list(const control::Reader& reader) {
  const std::set<Name> listed = std::exchange(listed_[reader.kind], {});
  std::set<Name> gone;
  for (const Name& name : names_[reader.kind]) {
    if (!listed.contains(name)) gone.insert(name);
  }
  for (const Name& name : gone) forget({reader.kind, name});
  return !gone.empty();
}

control::Findings ObjectCache::findings() const {
  control::Findings all;
  for (const auto& [key, findings] : findings_) all.insert(all.end(), findings.begin(), findings.end());
  return all;
}

}  // namespace leat::sources
