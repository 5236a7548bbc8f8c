#include "agent/sources/kubernetes/workload_publisher.h"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/sources/kubernetes/api_json.h"
#include "common/ip.h"
#include "common/log.h"

namespace leat::sources {
namespace {

using nlohmann::json;

constexpr uint32_t kPodsAnObject = 250;  // about 100 KB
constexpr char kApiVersion[] = "leat.dev/v1alpha1";
constexpr char kCollection[] = "/apis/leat.dev/v1alpha1/nodeworkloads/";

json to_entry(const v1::Workload& pod) {
  json addresses = json::array();
  for (const std::string& wire : pod.addresses()) {
    if (const auto address = IpAddress::from_wire(wire)) addresses.push_back(address->text());
  }
  json entry = {{"namespace", pod.namespace_()},
                {"name", pod.name()},
                {"uid", pod.uid()},
                {"addresses", std::move(addresses)},
                {"serviceAccount", pod.service_account()},
                {"owner", pod.owner()},
                {"labels", json::object()}};
  for (const auto& [key, value] : pod.labels()) entry["labels"][key] = value;
  if (pod.terminating()) entry["terminating"] = true;
  return entry;
}

}  // namespace

std::map<std::string, std::string> to_node_workloads(const std::string& node_name, const control::Node* node,
                                                     const std::vector<const v1::Workload*>& captured) {
  // A pod's index is its own for its whole life.
  std::map<uint32_t, json> chunks;
  for (const v1::Workload* pod : captured) {
    json& list = chunks.try_emplace(pod->pod_index() / kPodsAnObject, json::array()).first->second;
    list.push_back(to_entry(*pod));
  }
  std::map<std::string, std::string> objects;
  for (auto& [chunk, workloads] : chunks) {
    const std::string name = fmt::format("{}-{}", node_name, chunk);
    json metadata = {{"name", name}};
    if (node != nullptr && !node->meta.uid.empty()) {
      metadata["ownerReferences"] =
          json::array({{{"apiVersion", "v1"}, {"kind", "Node"}, {"name", node_name}, {"uid", node->meta.uid}}});
    }
    objects[name] = json{{"apiVersion", kApiVersion},
                         {"kind", control::NodeWorkloads::kKind},
                         {"metadata", std::move(metadata)},
                         {"spec", {{"node", node_name}, {"workloads", std::move(workloads)}}}}
                        .dump();
  }
  return objects;
}

void WorkloadPublisher::want(std::map<std::string, std::string> objects) {
  wants_ = true;
  wanted_ = std::move(objects);
  next();
}

void WorkloadPublisher::see(std::set<std::string> names) {
  for (const std::string& name : present_) {
    if (!names.contains(name)) applied_.erase(name);
  }
  present_ = std::move(names);
  next();
}

void WorkloadPublisher::next() {
  if (!wants_ || busy_ || retry_timer_ != 0) return;
  for (const auto& [name, text] : wanted_) {
    const auto applied = applied_.find(name);
    if (applied != applied_.end() && applied->second == text) continue;
    return send({.method = "PATCH",
                 .path = fmt::format("{}{}?fieldManager=leat-agent&force=true", kCollection, name),
                 .content_type = "application/apply-patch+yaml",
                 .body = text},
                name, text);
  }
  for (const std::string& name : present_) {
    if (!wanted_.contains(name)) return send({.method = "DELETE", .path = kCollection + name}, name, "");
  }
}

void WorkloadPublisher::send(ApiClient::Request request, const std::string& name, std::string applied) {
  busy_ = true;
  client_.send(
      std::move(request),
      {.begun = {}, .line = {}, .done = [this, name, applied = std::move(applied)](const ApiClient::Answer& answer) {
         finish(answer, name, applied);
       }});
}

void WorkloadPublisher::finish(const ApiClient::Answer& answer, const std::string& name, std::string applied) {
  busy_ = false;
  const bool deleted = applied.empty();
  const bool done = answer.error.empty() && (answer.status / 100 == 2 || (deleted && answer.status == 404));
  if (done) {
    failure_.clear();
    if (deleted) {
      applied_.erase(name);
      present_.erase(name);
    } else {
      applied_[name] = std::move(applied);
    }
    return next();
  }
  const Informer::Failure failure = read_failure(answer.status, answer.body);
  const std::string reason =
      answer.error.empty() ? fmt::format("{} {}", failure.status, failure.message) : answer.error;
  if (failure_.empty())
    log::error("NodeWorkloads {} can't be written, other nodes do not see changes: {}", name, reason);
  failure_ = reason;
  retry_timer_ = loop_.after(backoff_.next(Backoff::Clock::now(), random_()), [this] {
    retry_timer_ = 0;
    next();
  });
}

}  // namespace leat::sources
