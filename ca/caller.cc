#include "ca/caller.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace leat::ca {
namespace {

using nlohmann::json;

constexpr std::string_view kUserPrefix = "system:serviceaccount:";
constexpr char kPodName[] = "authentication.kubernetes.io/pod-name", kPodUid[] = "authentication.kubernetes.io/pod-uid",
               kNodeName[] = "authentication.kubernetes.io/node-name";

const json* at(const json& document, const std::vector<std::string>& path) {
  const json* value = &document;
  for (const std::string& key : path) {
    if (!value->is_object()) return nullptr;
    const auto found = value->find(key);
    if (found == value->end()) return nullptr;
    value = &*found;
  }
  return value;
}

// Extras are lists; those that matter here have one entry.
std::string extra(const json& review, const char* key) {
  const json* values = at(review, {"status", "user", "extra", key});
  if (values == nullptr || !values->is_array() || values->size() != 1 || !values->front().is_string()) return {};
  return values->front().get<std::string>();
}

PodFacts read_pod(const json& pod) {
  const std::string phase = text_at(pod, {"status", "phase"});
  return {.ns = text_at(pod, {"metadata", "namespace"}),
          .name = text_at(pod, {"metadata", "name"}),
          .uid = text_at(pod, {"metadata", "uid"}),
          // A mirror pod, which a kubelet makes of a file on its node, is the only one without: it has no identity.
          .service_account = text_at(pod, {"spec", "serviceAccountName"}),
          .node = text_at(pod, {"spec", "nodeName"}),
          .ended = phase == "Succeeded" || phase == "Failed"};
}

}  // namespace

std::string text_at(const json& document, const std::vector<std::string>& path) {
  const json* value = at(document, path);
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

Result<Caller> read_token_review(std::string_view body, std::string_view audience) {
  const json review = json::parse(body, nullptr, false);
  if (review.is_discarded()) return fail(ErrorCode::kProtocol, "the TokenReview's answer is no JSON");
  const json* authenticated = at(review, {"status", "authenticated"});
  if (authenticated == nullptr || !authenticated->is_boolean() || !authenticated->get<bool>()) {
    const std::string why = text_at(review, {"status", "error"});
    return fail(ErrorCode::kDenied, "the token is not good{}{}", why.empty() ? "" : ": ", why);
  }
  // An API server that knows nothing of audiences leaves the list out: its word is then about its own audience.
  const json* audiences = at(review, {"status", "audiences"});
  const bool ours =
      audiences != nullptr && audiences->is_array() && std::ranges::any_of(*audiences, [&](const json& one) {
        return one.is_string() && one.get_ref<const std::string&>() == audience;
      });
  if (!ours) return fail(ErrorCode::kDenied, "the token is not for the audience {}", audience);
  const std::string user = text_at(review, {"status", "user", "username"});
  const size_t colon = user.find(':', kUserPrefix.size());
  if (!user.starts_with(kUserPrefix) || colon == std::string::npos)
    return fail(ErrorCode::kDenied, "{} is no service account", user);
  Caller caller{.ns = user.substr(kUserPrefix.size(), colon - kUserPrefix.size()),
                .service_account = user.substr(colon + 1),
                .pod = extra(review, kPodName),
                .pod_uid = extra(review, kPodUid),
                .node = extra(review, kNodeName)};
  if (caller.pod.empty() || caller.pod_uid.empty())
    return fail(ErrorCode::kDenied, "the token of {}/{} is bound to no pod", caller.ns, caller.service_account);
  return caller;
}

Result<std::vector<PodFacts>> read_pods(std::string_view body) {
  const json document = json::parse(body, nullptr, false);
  if (!document.is_object()) return fail(ErrorCode::kProtocol, "the API server's answer about pods is no JSON object");
  const json* items = at(document, {"items"});
  if (items == nullptr) return std::vector<PodFacts>{read_pod(document)};
  std::vector<PodFacts> pods;
  if (items->is_array()) {
    for (const json& item : *items) pods.push_back(read_pod(item));
  } else if (!items->is_null()) {
    return fail(ErrorCode::kProtocol, "the API server's list of pods is none");
  }
  return pods;
}

Result<void> check_agent(const Caller& caller, const std::set<std::string>& agents) {
  if (agents.contains(caller.ns + "/" + caller.service_account)) return {};
  return fail(ErrorCode::kDenied, "{}/{} is not a service account that asks for a node's pods", caller.ns,
              caller.service_account);
}

Result<void> check_node(const Caller& caller, const SpiffeId& identity, const std::vector<PodFacts>& pods) {
  const bool agent_is_there = std::ranges::any_of(pods, [&](const PodFacts& pod) {
    return pod.ns == caller.ns && pod.name == caller.pod && pod.uid == caller.pod_uid && pod.node == caller.node &&
           pod.service_account == caller.service_account && !pod.ended;
  });
  if (!agent_is_there)
    return fail(ErrorCode::kDenied, "the agent's pod {}/{} is not found on {}", caller.ns, caller.pod, caller.node);
  const bool pod_is_there = std::ranges::any_of(pods, [&](const PodFacts& pod) {
    return pod.ns == identity.ns && pod.service_account == identity.service_account && pod.node == caller.node &&
           !pod.ended;
  });
  if (!pod_is_there) {
    return fail(ErrorCode::kDenied, "pod not found on {}: none there has the service account {}/{}", caller.node,
                identity.ns, identity.service_account);
  }
  return {};
}

}  // namespace leat::ca
