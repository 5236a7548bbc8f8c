// The objects of many files as one set: what `leat lint` checks, and what the agent's folder of YAML files puts in
// force.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"
#include "control/parse.h"

namespace leat::control {

class FileSet {
 public:
  // Adds to a pod, before it counts, what its file does not say.
  using Complete = std::function<void(Pod&)>;
  explicit FileSet(Complete complete = {}) : complete_(std::move(complete)) {}

  // A new or changed file. If something in it can't be read (`parsed.whole` is false), the objects that it had before
  // and that the readable rest does not name stay in force: a file that is saved half must not tear the mesh down.
  void put(const std::string& path, Parsed parsed);
  // The file can't be read at all now: what it said stays in force, with this finding.
  void put_unreadable(const std::string& path, v1::Finding finding);
  void remove(const std::string& path);
  // What the files do not say is another thing for this object. False: there is no such object.
  bool complete_again(const ObjectKey& key);

  // One that stands in no file.
  void put_own(Object object) { objects_.put(std::move(object)); }
  void remove_own(const ObjectKey& key) { objects_.remove(key); }

  // An object that stands in several files counts where it stands first, by path. Only what a call above names is
  // touched.
  [[nodiscard]] const ObjectSet& objects() const { return objects_; }
  [[nodiscard]] Findings findings() const;  // duplicates among them; sorted

 private:
  struct File {
    std::map<ObjectKey, ObjectPtr> objects;
    Findings findings;
  };
  void settle(const ObjectKey& key);  // makes objects_ say of `key` what the files say

  void note_findings(const std::string& path);

  Complete complete_;
  std::map<std::string, File> files_;
  std::set<std::string> flawed_;                      // those with findings
  std::map<ObjectKey, std::set<std::string>> paths_;  // where each object stands, the first wins
  std::set<ObjectKey> duplicates_;                    // those that stand in several files
  ObjectSet objects_;
};

}  // namespace leat::control
