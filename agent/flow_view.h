// What the kernel knows of connections, in the words of `leat flows`: indexes, ids and addresses become pods and
// Services.
#pragma once

#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/capture/capture.h"
#include "leat.pb.h"

namespace leat::agent {

// Names of one mesh model, which outlives it.
class FlowNames {
 public:
  FlowNames(const std::string& node, const v1::Mesh& mesh);

  [[nodiscard]] v1::Flow direct(const capture::DirectFlow& flow) const;
  // `pod`: whose namespace the connection was found in.
  [[nodiscard]] v1::Flow untouched(const capture::UntouchedFlow& flow, const v1::Workload& pod) const;
  // Local captured pods, by uid in the model's order.
  [[nodiscard]] const std::vector<const v1::Workload*>& captured_pods() const { return captured_pods_; }
  // Null where the model has no such one.
  [[nodiscard]] const v1::Workload* workload_of_index(uint32_t index) const;
  [[nodiscard]] const v1::Service* service_of_alias(uint32_t id) const;
  // "namespace/name", or empty.
  [[nodiscard]] std::string pod_of_index(uint32_t index) const;

 private:
  void name_source(v1::Flow& flow, const v1::Workload* pod) const;
  void name_destination(v1::Flow& flow, const v1::Workload* pod) const;
  [[nodiscard]] const v1::Workload* by_address(const IpAddress& address) const;
  [[nodiscard]] std::string service_of(const IpAddress& vip) const;

  const std::string& node_;
  std::vector<const v1::Workload*> captured_pods_;
  std::unordered_map<uint32_t, const v1::Workload*> by_index_;
  std::unordered_map<IpAddress, const v1::Workload*> by_address_;
  std::unordered_map<IpAddress, const v1::Service*> by_vip_;
  std::unordered_map<uint32_t, const v1::Service*> by_alias_;
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
