// The pods of other nodes, as their agents publish them (NodeWorkloads). An agent is believed about pods of its own
// node, and only where nothing that the control plane says speaks against it.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"

namespace leat::control {

class PublishedPods {
 public:
  struct Update {
    std::vector<PodPtr> gone;
    std::vector<PodPtr> here;     // new, or to be thought of again
    std::set<IpAddress> doubted;  // is_believed() may say another thing of who has one of these
  };

  // Without those of `own_node`, and those that there is a Pod object for: it knows better.
  std::vector<PodPtr> rebuild(const ObjectSet& objects, const std::string& own_node);
  Update update(const std::vector<ObjectKey>& keys, const ObjectSet& objects, const std::string& own_node);

  [[nodiscard]] std::vector<PodPtr> named(const Name& name) const;
  // A pod that claims an address which an EndpointSlice has on another node, or which is a Service's, is not. That is a
  // finding then.
  bool is_believed(const PodPtr& pod);
  [[nodiscard]] Findings findings() const;

 private:
  using Published = std::shared_ptr<const NodeWorkloads>;

  void put(Published published, const ObjectSet& objects, std::vector<PodPtr>& here);
  void take(const Published& published, std::vector<PodPtr>& gone);
  void see(const Name& service, std::shared_ptr<const Service> now, std::set<IpAddress>& doubted);
  void see(const Name& slice, std::shared_ptr<const EndpointSlice> now, std::set<IpAddress>& doubted);
  [[nodiscard]] std::string objection(const IpAddress& address, const std::string& node) const;

  std::map<Name, Published> published_;
  std::multimap<Name, PodPtr> by_name_;    // each shares the life of its NodeWorkloads
  std::map<PodPtr, std::string> refused_;  // and why
  // What the control plane says of addresses; kept while anything is published.
  std::map<Name, std::shared_ptr<const Service>> services_;
  std::map<Name, std::shared_ptr<const EndpointSlice>> slices_;
  std::map<IpAddress, std::set<Name>> vips_;
  std::unordered_map<IpAddress, std::map<std::string, uint32_t>> nodes_;  // how many endpoints say so
};

}  // namespace leat::control
