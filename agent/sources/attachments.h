// What the container runtime has said of this node's pods, by way of leat-cni: which network namespace is whose, and
// with what addresses, before any object says it. It is the better witness: the object of a pod gets its addresses only
// after its programs have started.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ip.h"
#include "common/result.h"
#include "control/objects.h"

namespace leat::sources {

struct Attachment {
  std::string container_id;  // of the pod's sandbox: a pod may get another one
  std::string ifname;
  control::Name pod;
  std::string uid;         // as the runtime says it; empty: it does not
  std::string netns_path;  // where the agent enters it
  ino_t netns_inode = 0;   // tells it from a later namespace at the same path
  std::vector<IpAddress> addresses;
};

class Attachments {
 public:
  void add(Attachment attachment);  // in place of the pod's former one
  // The container is gone. Returns the pod whose attachment that was; nothing if it has another container by now.
  std::optional<control::Name> remove(const std::string& container_id);
  // Removes those that `gone` says; returns their pods.
  std::vector<control::Name> remove_if(const std::function<bool(const Attachment&)>& gone);

  // Of that very pod: another one of its name has another uid.
  [[nodiscard]] const Attachment* find(const control::Pod& pod) const;
  [[nodiscard]] size_t size() const { return by_container_.size(); }

  // Adds to a pod's object what is known of it. False: nothing is, and its namespace may be looked for. A pod whose
  // container is gone has none, though its namespace may still be there for a moment.
  bool complete(control::Pod& pod) const;
  // The objects have changed: those of them that are gone need not be remembered any more.
  void forget_ended(const control::ObjectSet& objects);

  [[nodiscard]] std::string save() const;
  static Result<Attachments> load(std::string_view text);

 private:
  std::map<std::string, Attachment> by_container_;
  std::map<control::Name, std::string>
      ended_;  // pods whose container is gone and whose object may still be there -> uid
};

}  // namespace leat::sources
