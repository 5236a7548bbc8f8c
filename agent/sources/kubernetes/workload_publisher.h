// Tells the other nodes which pods this one has captured: the node's NodeWorkloads objects, applied on the server's
// side, so that a repeated or a lost answer does no harm. One request at a time; what fails is tried again.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/sources/kubernetes/informer.h"
#include "common/kubernetes/api_client.h"
#include "common/kubernetes/backoff.h"
#include "control/objects.h"

namespace leat::sources {

using kubernetes::ApiClient;

// The objects that say it: name -> JSON. A pod keeps its object while it lives, so that a change touches one only.
// `node` may be null: then nothing removes the objects when the node is removed.
std::map<std::string, std::string> to_node_workloads(const std::string& node_name, const control::Node* node,
                                                     const std::vector<const v1::Workload*>& captured);

class WorkloadPublisher {
 public:
  WorkloadPublisher(EventLoop& loop, ApiClient& client, Informer::Random random)
      : loop_(loop), client_(client), random_(std::move(random)) {}
  ~WorkloadPublisher() { loop_.cancel(retry_timer_); }

  // What shall be there.
  void want(std::map<std::string, std::string> objects);
  // What is there of this node's, as the watch says: what nobody wants is deleted, what is missing is applied again.
  void see(std::set<std::string> names);
  // The server has taken all that shall be there.
  [[nodiscard]] bool settled() const { return !busy_ && retry_timer_ == 0; }
  // Why the last request failed; empty: it did not.
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  void next();
  void send(ApiClient::Request request, const std::string& name, std::string applied);
  void finish(const ApiClient::Answer& answer, const std::string& name, std::string applied);

  EventLoop& loop_;
  ApiClient& client_;
  Informer::Random random_;
  Backoff backoff_;
  bool wants_ = false;                          // want() was called: before, nothing is known to be superfluous
  std::map<std::string, std::string> wanted_;   // name -> JSON
  std::map<std::string, std::string> applied_;  // as the server has taken it
  std::set<std::string> present_;
  bool busy_ = false;
  EventLoop::TimerId retry_timer_ = 0;
  std::string failure_;
};

}  // namespace leat::sources
