// agent/sources/: where the objects come from: a folder of files (file_source.h), or a cluster's API server
// (kubernetes/kubernetes_source.h). The rest of the agent does not know which. Used by the agent's one thread.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "common/event_loop.h"
#include "control/findings.h"
#include "control/objects.h"

namespace leat::sources {

// What happened to a pod of this node, for whoever looks after it.
struct PodEvent {
  control::Name pod;
  std::string uid;
  bool warning = false;
  std::string reason;  // CamelCase, for machines
  std::string note;    // for people
};

// What the mesh was made of the objects, looked at when there is somebody to be told.
struct Verdict {
  std::function<const std::vector<v1::RouteStatus>&()> route_statuses;
  std::function<const std::vector<v1::Finding>&()> findings;
};

class Source {
 public:
  using Changed = std::function<void(EventLoop::Clock::time_point seen)>;

  virtual ~Source() = default;
  // Watches from now on. `changed` is called once the objects are there, and then after each change of objects or
  // findings. Until the first call nobody may act on objects(): they are not all there, which would look as if they
  // were gone.
  virtual void watch(EventLoop& loop, Changed changed) = 0;

  [[nodiscard]] virtual const control::ObjectSet& objects() const = 0;
  [[nodiscard]] virtual control::Findings findings() const = 0;

  // What the container runtime says of this pod (attachments.h) is another thing than before.
  virtual void attachment_changed(const control::Name& pod) = 0;

  // Puts what the agent found out by itself among the objects, or takes it out. `changed` is not called for it.
  virtual void put_own(control::Object object) = 0;
  virtual void remove_own(const control::ObjectKey& key) = 0;

  // The agent is told to end: is Leat to leave this node as well? Answered once, now or soon.
  virtual void ask_whether_to_leave(std::function<void(bool for_good)> answer) { answer(false); }

  // The pods of this node that are captured now: what nodes of one cluster tell each other.
  virtual void publish(const std::vector<const v1::Workload*>& captured) = 0;

  // Who keeps objects is told what became of them (in a cluster: status and Events); files are told nothing. Call
  // judged_by() once, before watch(), and judged() in the same turn in which the mesh was made of objects().
  virtual void judged_by(Verdict) {}
  virtual void judged() {}
  virtual void tell(const PodEvent&) {}
};

}  // namespace leat::sources
