// Who asks for a certificate, and whether that node may have that identity. Pure functions on what the API server says.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "common/result.h"
#include "common/spiffe.h"

namespace leat::ca {

struct Caller {
  std::string ns, service_account;
  std::string pod, pod_uid;  // that the token is bound to
  std::string node;          // empty: the API server is older than 1.32 and does not say
};

// A TokenReview's answer. kDenied: the token is not good, is not for `audience`, or is bound to no pod.
Result<Caller> read_token_review(std::string_view body, std::string_view audience);

// A pod as far as the check needs it.
struct PodFacts {
  std::string ns, name, uid, service_account, node;
  bool ended = false;  // Succeeded or Failed: it does nothing any more
};
// A PodList, or one Pod.
Result<std::vector<PodFacts>> read_pods(std::string_view body);

// `agents`: the service accounts, NAMESPACE/NAME, that ask for the pods of their node. kDenied with the reason.
Result<void> check_agent(const Caller& caller, const std::set<std::string>& agents);
// `pods`: those of caller.node. The caller's own pod must be among them with the uid of the token, and one that is not
// ended must have the identity's namespace and service account.
Result<void> check_node(const Caller& caller, const SpiffeId& identity, const std::vector<PodFacts>& pods);

// The text at a path of a JSON document; empty where there is none.
std::string text_at(const nlohmann::json& document, const std::vector<std::string>& path);

}  // namespace leat::ca
