#include "common/kubernetes/lease.h"

#include <utility>

#include <nlohmann/json.hpp>

namespace leat::kubernetes {
namespace {

using nlohmann::json;

std::string collection(const LeaseName& name) {
  return fmt::format("/apis/coordination.k8s.io/v1/namespaces/{}/leases", name.ns);
}

std::string text_at(const json& object, const char* pointer) {
  const json text = object.value(json::json_pointer(pointer), json());
  return text.is_string() ? text.get<std::string>() : "";
}

}  // namespace

void read_lease(ApiClient& client, const LeaseName& name, Done<std::optional<LeaseBook::Lease>> done) {
  ask(client,
      {.path = fmt::format("{}/{}", collection(name), name.name),
       .content_type = {},
       .body = {},
       .deadline = kLeaseDeadline},
      [done = std::move(done)](const Result<ApiClient::Answer>& answer) {
        if (!answer && answer.error().code == ErrorCode::kNotFound) return done(std::nullopt);
        if (!answer) return done(std::unexpected(answer.error()));
        const json object = json::parse(answer->body, nullptr, false);
        if (!object.is_object()) return done(fail(ErrorCode::kProtocol, "the Lease is no JSON object"));
        const json seconds = object.value(json::json_pointer("/spec/leaseDurationSeconds"), json());
        done(LeaseBook::Lease{
            .holder = text_at(object, "/spec/holderIdentity"),
            .version = text_at(object, "/metadata/resourceVersion"),
            .duration = seconds.is_number_integer() ? std::chrono::seconds(seconds.get<int>()) : kLeaseDuration});
      });
}

void write_lease(ApiClient& client, const LeaseName& name, const std::string& holder, std::chrono::seconds duration,
                 const std::optional<LeaseBook::Lease>& before, Done<void> done) {
  json metadata = {{"name", name.name}, {"namespace", name.ns}};
  if (before) metadata["resourceVersion"] = before->version;
  const std::string now = micro_time();
  json spec = {{"holderIdentity", holder}, {"leaseDurationSeconds", duration.count()}, {"renewTime", now}};
  if (!before || before->holder != holder) spec["acquireTime"] = now;
  const json object = {{"apiVersion", "coordination.k8s.io/v1"},
                       {"kind", "Lease"},
                       {"metadata", std::move(metadata)},
                       {"spec", std::move(spec)}};
  ask(client,
      {.method = before ? "PUT" : "POST",
       .path = before ? fmt::format("{}/{}", collection(name), name.name) : collection(name),
       .content_type = "application/json",
       .body = object.dump(),
       .deadline = kLeaseDeadline},
      [done = std::move(done)](const Result<ApiClient::Answer>& answer) {
        if (!answer) return done(std::unexpected(answer.error()));
        done({});
      });
}

}  // namespace leat::kubernetes
