// Tells the cluster what became of its objects: status of routes and Events about objects by the agent that leads,
// Events about pods by the agent of their node.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/sources/kubernetes/event_writer.h"
#include "agent/sources/kubernetes/route_status_writer.h"
#include "agent/sources/source.h"
#include "common/kubernetes/leader_election.h"

namespace leat::sources {

class Teller {
 public:
  struct Tools {
    std::function<const std::map<control::ObjectKey, ObjectFacts>&()> facts;
    std::function<std::string(std::string_view kind)> api_version;  // that the server has the kind in
    std::function<size_t()> nodes;                                  // of the cluster
    std::function<double()> random;                                 // 0 to 1
  };

  // A `lease` without a name: this agent never leads, and tells of its pods only.
  Teller(EventLoop& loop, kubernetes::ApiClient& client, const std::string& node, kubernetes::LeaseName lease,
         Tools tools);
  ~Teller();

  void judged_by(Verdict verdict) { verdict_ = std::move(verdict); }
  void start();
  // Objects, what became of them, or their status may be others than before. Cheap.
  void look_soon();
  void tell(const PodEvent& event);
  // What can't be told, in sentences; none: all can.
  [[nodiscard]] std::vector<std::string> failures() const;

 private:
  void look();
  [[nodiscard]] bool leads() const { return election_ && election_->leads(); }
  [[nodiscard]] std::chrono::milliseconds follower_pause() const;

  EventLoop& loop_;
  Tools tools_;
  Verdict verdict_;
  EventWriter events_;
  RouteStatusWriter statuses_;
  std::unique_ptr<kubernetes::LeaderElection> election_;
  bool tells_findings_ = false;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace leat::sources
