// What the kernel knows of connections, in the words of `leat flows`: indexes, ids and addresses become pods and
// Services.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/capture/capture.h"
#include "control/objects.h"
#include "leat.pb.h"

namespace leat::agent {

// Names of this node's pods, and of others as the compiled mesh has them when they are asked for.
class FlowNames {
 public:
  struct Elsewhere {
    std::function<std::optional<v1::Workload>(const IpAddress&)> workload_at;
    std::function<std::optional<control::Name>(const IpAddress& vip)> service_at;
    std::function<std::optional<control::Name>(uint32_t alias)> service_of_alias;
  };

  // `local`: this node's captured pods.
  FlowNames(const std::string& node, v1::Mesh local, Elsewhere elsewhere);

  [[nodiscard]] v1::Flow direct(const capture::DirectFlow& flow) const;
  // `pod`: whose namespace the connection was found in.
  [[nodiscard]] v1::Flow untouched(const capture::UntouchedFlow& flow, const v1::Workload& pod) const;
  // Local captured pods, by uid in the model's order.
  [[nodiscard]] const std::vector<const v1::Workload*>& captured_pods() const { return captured_pods_; }
  // Null where the model has no such one.
  [[nodiscard]] const v1::Workload* workload_of_index(uint32_t index) const;
  [[nodiscard]] std::optional<control::Name> service_of_alias(uint32_t id) const {
    return elsewhere_.service_of_alias(id);
  }
  // "namespace/name", or empty.
  [[nodiscard]] std::string pod_of_index(uint32_t index) const;

 private:
  void name_source(v1::Flow& flow, const v1::Workload* pod) const;
  void name_destination(v1::Flow& flow, const v1::Workload* pod) const;
  [[nodiscard]] std::string service_of(const IpAddress& vip) const;

  const std::string& node_;
  v1::Mesh local_;
  Elsewhere elsewhere_;
  std::vector<const v1::Workload*> captured_pods_;
  std::unordered_map<uint32_t, const v1::Workload*> by_index_;
};

// Closed kernel-direct connections, the last kMaxClosedDirectFlows, numbered as they closed.
class ClosedFlows {
 public:
  void add(v1::Flow flow);
  // Those after number `sequence`, and the number to ask with next time.
  uint64_t since(uint64_t sequence, google::protobuf::RepeatedPtrField<v1::Flow>& out) const;
  [[nodiscard]] uint64_t forgotten() const { return next_ - 1 - flows_.size(); }

 private:
  std::deque<v1::Flow> flows_;
  uint64_t next_ = 1;
};

}  // namespace leat::agent
