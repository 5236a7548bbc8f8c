// From changed objects to a node that acts on them. One edit at a time; what comes meanwhile is the next one. The order
// never fails open and never sends a connection to somebody who does not know what to do with it:
//
//   1. compile; the ids are saved before anybody uses them
//   2. kernel: strictness, new pods with their listeners, what is gone; no destination yet that the proxy does not know
//   3. proxy: the new model, then the new listeners
//   4. once the armed proxy acts on it (or after kModelAckDeadline, or at once without one): kernel: the new
//   destinations
//
// Each step is about what changed: an edit costs by its own size, not by the mesh's. Where a step failed, the next one
// of its kind is about everything.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/capture_plan.h"
#include "agent/edit_latency.h"
#include "agent/source_ids.h"
#include "common/event_loop.h"
#include "control/compile.h"
#include "leat.pb.h"

namespace leat::agent {

using Clock = EventLoop::Clock;

class Reconciler {
 public:
  // How a pod of this node stands, as `leat pods` shows it.
  struct PodState {
    control::LocalPod pod;
    std::string enrolment;  // "enrolled", "not enrolled", "released", "failed"
    std::string reason;
    std::chrono::system_clock::time_point since;
  };

  struct Tools {
    std::function<const control::ObjectSet&()> objects;
    std::function<std::vector<v1::Finding>()> source_findings;
    std::function<Result<void>()> save_books;  // before new ids are used; cheap if nothing changed
    std::function<Result<capture::Report>(const capture::Plan&)> apply;
    // The new model is for everybody to act on: compiled() is it already. `change`: since the last call; null: all may
    // be another.
    std::function<void(uint64_t generation, const v1::MeshChange* change)> publish;
    std::function<void()> send_listeners;  // bring the armed proxy what apply() has made; cheap if nothing
    std::function<bool()> proxy_armed;
    std::function<void()> pods_changed = [] {};  // pods() may say other things than before
    std::function<void()> judged = [] {};        // objects() have just been compiled
    // A pod's enrolment or its reason is another one; `before`: its enrolment until now, empty for one that is new.
    std::function<void(const PodState& pod, const std::string& before)> pod_turned = [](const auto&, const auto&) {};
  };

  Reconciler(EventLoop& loop, std::string node, control::Books& books, SourceIds& source_ids, Tools tools);
  ~Reconciler();

  // Objects have changed; `seen` is when the event was noticed.
  void objects_changed(Clock::time_point seen);
  // The armed proxy acts on `generation`.
  void acknowledged(uint64_t generation);
  // Clients outside the model have new ids, or gave some back: the kernel must decode them. False: it can't.
  Result<void> source_ids_changed();

  [[nodiscard]] const v1::MeshSettings& settings() const { return compiler_.settings(); }
  [[nodiscard]] const control::Compiler& compiled() const { return compiler_; }
  [[nodiscard]] uint64_t generation() const { return generation_; }
  [[nodiscard]] std::chrono::system_clock::time_point published() const { return published_; }
  [[nodiscard]] const std::vector<v1::Finding>& findings() const { return findings_; }
  [[nodiscard]] const std::vector<v1::RouteStatus>& route_statuses() const { return compiler_.route_statuses(); }
  [[nodiscard]] const std::map<std::string, PodState>& pods() const { return pods_; }  // by uid
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }       // what capture degraded
  [[nodiscard]] const EditLatency& latency() const { return latency_; }
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }  // why the last edit is not in force

 private:
  void start();
  void finish();
  // Brings the kernel's side up to date, but for the ids `withheld_`; `changed` and `removed` of the plan's aliases.
  Result<void> apply(const std::vector<control::PlannedAlias>& changed, const std::vector<uint32_t>& removed);
  void name_changed_aliases(const std::vector<control::PlannedAlias>& changed, const std::vector<uint32_t>& removed,
                            capture::Plan& plan);
  [[nodiscard]] std::vector<control::PlannedAlias> aliases_of(const Ids& ids) const;
  void note_findings(bool of_objects_changed);
  void note_pods(const capture::Report& report);

  EventLoop& loop_;
  SourceIds& source_ids_;
  Tools tools_;
  control::Compiler compiler_;
  control::CapturePlan plan_;       // without its aliases
  SourceAliases sources_;           // as the kernel has them
  uint64_t sources_version_ = 0;    // of source_ids_, that sources_ are of
  bool kernel_is_behind_ = true;    // it is told everything next time
  bool proxies_are_behind_ = true;  // likewise
  uint64_t generation_;
  std::chrono::system_clock::time_point published_;
  bool first_ = true;  // the start is no edit
  bool in_flight_ = false;
  std::optional<Clock::time_point> changed_;  // since when objects wait to be compiled
  Clock::time_point edit_seen_;               // of the edit in flight
  bool local_pods_changed_ = true;
  std::map<std::string, std::string> pod_failures_;  // by uid
  Ids withheld_;                                     // new ids that the proxy does not act on yet
  EventLoop::TimerId ack_timer_ = 0;
  EventLoop::TimerId retry_timer_ = 0;
  std::vector<v1::Finding> findings_;
  std::vector<v1::Finding> source_findings_;
  std::set<std::string> logged_;  // findings and failures that have been logged and still stand
  std::map<std::string, PodState> pods_;
  std::vector<std::string> notes_;
  EditLatency latency_;
  std::optional<Error> failure_;
};

}  // namespace leat::agent
