// The objects of a cluster as lists and watches tell of them, kind by kind.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "agent/sources/kubernetes/object_facts.h"
#include "control/findings.h"
#include "control/objects.h"
#include "control/read_object.h"

namespace leat::sources {

class ObjectCache {
 public:
  // Adds to an object, before it is put, what its text does not say.
  using Complete = std::function<void(control::Object&)>;
  explicit ObjectCache(Complete complete) : complete_(std::move(complete)) {}

  // An object of a list or of an event. One that can't be used leaves what it said before in force, with a finding.
  // True if the mesh may be another one by it.
  bool put(const control::Reader& reader, const control::Value& document);
  bool remove(const control::Reader& reader, const control::Value& document);

  // A list: what was put since begin_list() is all there is; the rest goes. True if something did.
  void begin_list(const control::Reader& reader) { listed_[reader.kind].clear(); }
  bool end_list(const control::Reader& reader);

  // Puts one that was changed here.
  void replace(control::Object object) { objects_.put(std::move(object)); }
  // Takes one out here; one of the server's comes back with its next event or list.
  void take_out(const control::ObjectKey& key) { objects_.remove(key); }

  [[nodiscard]] const control::ObjectSet& objects() const { return objects_; }
  [[nodiscard]] control::Findings findings() const;

  // Of the mesh's kinds, by kind, namespace and name.
  [[nodiscard]] const std::map<control::ObjectKey, ObjectFacts>& facts() const { return facts_; }
  // The mesh has just been made of objects().
  void judged();

 private:
  bool forget(const control::ObjectKey& key);
  bool says_the_same(const control::ObjectKey& key, const control::Value& document) const;

  Complete complete_;
  control::ObjectSet objects_;
  std::map<std::string_view, std::set<control::Name>> names_;   // of those that were put, by kind
  std::map<std::string_view, std::set<control::Name>> listed_;  // by the list that is under way
  std::map<control::ObjectKey, control::Findings> findings_;
  std::map<control::ObjectKey, ObjectFacts> facts_;
  std::set<control::ObjectKey> not_judged_;  // routes that the mesh was not made of yet, as they are
};

}  // namespace leat::sources
