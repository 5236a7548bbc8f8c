// The objects of many files as one set: what `leat lint` checks, and what the agent's folder of YAML files puts in
// force.
#pragma once

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
  // A new or changed file. If something in it can't be read (`parsed.whole` is false), the objects that it had before
  // and that the readable rest does not name stay in force: a file that is saved half must not tear the mesh down.
  void put(const std::string& path, Parsed parsed);
  // The file can't be read at all now: what it said stays in force, with this finding.
  void put_unreadable(const std::string& path, v1::Finding finding);
  void remove(const std::string& path);

  // An object that stands in several files counts where it stands first, by path. Only what a call above names is
  // touched.
  [[nodiscard]] const ObjectSet& objects() const { return objects_; }
  [[nodiscard]] Findings findings() const;  // duplicates among them; sorted

 private:
  struct File {
    std::map<ObjectKey, Object> objects;
    Findings findings;
  };
  void settle(const ObjectKey& key);  // makes objects_ say of `key` what the files say

  std::map<std::string, File> files_;
  std::map<ObjectKey, std::set<std::string>> paths_;  // where each object stands, the first wins
  std::set<ObjectKey> duplicates_;                    // those that stand in several files
  ObjectSet objects_;
};

}  // namespace leat::control
