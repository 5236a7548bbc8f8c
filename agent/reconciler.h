// From changed objects to a node that acts on them. One edit at a time; what comes meanwhile is the next one. The order
// never fails open and never sends a connection to somebody who does not know what to do with it:
//
//   1. compile; the ids are saved before anybody uses them
//   2. kernel: strictness, new pods with their listeners, what is gone; no destination yet that the proxy does not know
//   3. proxy: the new model, then the new listeners
//   4. once the armed proxy acts on it (or after kModelAckDeadline, or at once without one): kernel: the new
//   destinations
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
#include "control/delta.h"
#include "leat.pb.h"

namespace leat::agent {

using Clock = EventLoop::Clock;

class Reconciler {
 public:
  struct Tools {
    std::function<const control::ObjectSet&()> objects;
    std::function<std::vector<v1::Finding>()> source_findings;
    std::function<Result<void>()> save_books;  // before new ids are used; cheap if nothing changed
    std::function<Result<capture::Report>(const capture::Plan&)> apply;
    // The new model is for everybody to act on: mesh() is it already.
    std::function<void(uint64_t generation, const v1::MeshChange&)> publish;
    std::function<void()> send_listeners;  // bring the armed proxy what apply() has made; cheap if nothing
    std::function<bool()> proxy_armed;
    std::function<void()> pods_changed = [] {};  // pods() may say other things than before
  };
  // How a pod of this node stands, as `leat pods` shows it.
  struct PodState {
    control::LocalPod pod;
    std::string enrolment;  // "enrolled", "not enrolled", "released", "failed"
    std::string reason;
    std::chrono::system_clock::time_point since;
  };

  Reconciler(EventLoop& loop, std::string node, control::Books& books, SourceIds& source_ids, Tools tools);
  ~Reconciler();

  // Objects have changed; `seen` is when the event was noticed.
  void objects_changed(Clock::time_point seen);
  // The armed proxy acts on `generation`.
  void acknowledged(uint64_t generation);
  // Clients outside the model have new ids, or gave some back: the kernel must decode them. False: it can't.
  Result<void> source_ids_changed();

  // What it holds stays where it is until the next Tools::publish.
  [[nodiscard]] const v1::Mesh& mesh() const { return mesh_; }
  [[nodiscard]] uint64_t generation() const { return generation_; }
  [[nodiscard]] std::chrono::system_clock::time_point published() const { return published_; }
  [[nodiscard]] const std::vector<v1::Finding>& findings() const { return findings_; }
  [[nodiscard]] const std::vector<v1::RouteStatus>& route_statuses() const { return route_statuses_; }
  [[nodiscard]] const std::map<std::string, PodState>& pods() const { return pods_; }  // by uid
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }       // what capture degraded
  [[nodiscard]] const EditLatency& latency() const { return latency_; }
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }  // why the last edit is not in force

 private:
  void start();
  void finish();
  Result<void> apply(const std::set<uint32_t>* known);
  void note_findings(const std::vector<v1::Finding>& of_objects);
  void note_pods(const capture::Report& report);

  EventLoop& loop_;
  SourceIds& source_ids_;
  Tools tools_;
  control::Compiler compiler_;
  v1::Mesh mesh_;
  control::CapturePlan plan_;
  std::vector<control::LocalPod> local_pods_;
  uint64_t generation_;
  std::chrono::system_clock::time_point published_;
  bool first_ = true;  // the start is no edit
  bool in_flight_ = false;
  std::optional<Clock::time_point> changed_;  // since when objects wait to be compiled
  Clock::time_point edit_seen_;               // of the edit in flight
  std::set<uint32_t> known_;                  // ids that the proxy acts on
  EventLoop::TimerId ack_timer_ = 0;
  EventLoop::TimerId retry_timer_ = 0;
  std::vector<v1::Finding> findings_;
  std::vector<v1::RouteStatus> route_statuses_;
  std::set<std::string> logged_;  // findings and failures that have been logged and still stand
  std::map<std::string, PodState> pods_;
  std::vector<std::string> notes_;
  EditLatency latency_;
  std::optional<Error> failure_;
};

}  // namespace leat::agent
