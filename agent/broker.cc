#include "agent/broker.h"

#include <algorithm>

#include "agent/limits.h"
#include "common/log.h"
#include "common/spiffe.h"

namespace leat::agent {

Broker::Broker(Tools tools, SourceIds& source_ids, Time now)
    : tools_(std::move(tools)), source_ids_(source_ids), signs_(limits::kSignsASecond, limits::kSignBurst, now) {}

void Broker::set_pods(const v1::Mesh& mesh) {
  std::map<std::string, TokenBucket> quota;
  std::set<std::string> identities;
  for (const v1::Workload& pod : mesh.workloads()) {
    if (!pod.local() || !pod.captured()) continue;
    const auto known = socket_quota_.find(pod.uid());
    quota.emplace(pod.uid(), known != socket_quota_.end()
                                 ? known->second
                                 : TokenBucket(limits::kSocketsASecondAPod, limits::kSocketBurstAPod, Time{}));
    const auto identity = SpiffeId::make(mesh.settings().trust_domain(), pod.namespace_(), pod.service_account());
    if (identity) identities.insert(identity->text());
  }
  socket_quota_ = std::move(quota);
  identities_ = std::move(identities);
}

std::pair<v1::ToProxy, std::vector<UniqueFd>> Broker::sockets(const v1::SocketRequest& request, Time now) {
  v1::ToProxy answer;
  v1::Sockets& sockets = *answer.mutable_sockets();
  sockets.set_workload_uid(request.workload_uid());
  sockets.set_ipv6(request.ipv6());
  auto made = make_sockets(request, now);
  if (!made) {
    ++counters_.socket_refusals;
    sockets.set_error(made.error().message);
    return {std::move(answer), std::vector<UniqueFd>{}};
  }
  counters_.sockets += made->size();
  sockets.set_count(static_cast<uint32_t>(made->size()));
  return {std::move(answer), std::move(*made)};
}

Result<std::vector<UniqueFd>> Broker::make_sockets(const v1::SocketRequest& request, Time now) {
  const auto quota = socket_quota_.find(request.workload_uid());
  if (quota == socket_quota_.end()) {
    return fail(ErrorCode::kNotFound, "{} is not a captured pod of this node", request.workload_uid());
  }
  if (!quota->second.take(request.count(), now)) {
    return fail(ErrorCode::kExhausted, "the pod opens more than {} connections a second, its quota",
                limits::kSocketsASecondAPod);
  }
  return tools_.make_sockets(request.workload_uid(), request.ipv6(), request.count());
}

void Broker::sign(const std::string& instance, const v1::SignRequest& request, Time now,
                  std::function<void(const v1::ToProxy&)> answer) {
  const auto finish = [this, instance, number = request.request(), identity = request.identity(),
                       answer = std::move(answer)](Tools::Chain chain) {
    v1::ToProxy message;
    v1::Signed& reply = *message.mutable_signed_();
    reply.set_request(number);
    if (chain) {
      ++counters_.certificates;
      certified_[instance].insert(identity);
      for (std::string& der : *chain) reply.add_chain_der(std::move(der));
    } else {
      ++counters_.certificate_refusals;
      log::warn("no certificate for {}: {}", identity, chain.error().message);
      reply.set_error(chain.error().message);
    }
    answer(message);
  };
  if (const auto may = may_sign(request, now); !may) return finish(std::unexpected(may.error()));
  const auto certified = certified_.find(instance);
  tools_.sign({.who = instance + " " + request.identity(),
               .request = request,
               .urgent = certified == certified_.end() || !certified->second.contains(request.identity())},
              finish);
}

Result<void> Broker::may_sign(const v1::SignRequest& request, Time now) {
  if (!identities_.contains(request.identity())) {
    return fail(ErrorCode::kDenied, "no captured pod of this node has the identity {}", request.identity());
  }
  if (!signs_.take(1, now)) {
    return fail(ErrorCode::kExhausted, "more than {} certificates a second are asked for, this node's quota",
                limits::kSignsASecond);
  }
  return {};
}

bool Broker::has_all_certificates(const std::string& instance) const {
  const auto found = certified_.find(instance);
  return found == certified_.end() ? identities_.empty() : std::ranges::includes(found->second, identities_);
}

v1::ToProxy Broker::source_id(const std::string& instance, const v1::SourceIdRequest& request) {
  v1::ToProxy answer;
  v1::SourceId& reply = *answer.mutable_source_id();
  reply.set_address(request.address());
  const auto id = make_source_id(instance, request);
  if (id) {
    ++counters_.source_ids;
    reply.set_id(*id);
  } else {
    ++counters_.source_id_refusals;
    reply.set_error(id.error().message);
  }
  return answer;
}

Result<uint32_t> Broker::make_source_id(const std::string& instance, const v1::SourceIdRequest& request) {
  if (!socket_quota_.contains(request.workload_uid())) {
    return fail(ErrorCode::kNotFound, "{} is not a captured pod of this node", request.workload_uid());
  }
  const auto address = IpAddress::from_wire(request.address());
  // A peer that decodes to a loopback address would be trusted by applications that trust localhost.
  if (!address || address->is_loopback() || address->is_unspecified()) {
    return fail(ErrorCode::kDenied, "a client from outside the pod can't have the address {}",
                address ? address->text() : "?");
  }
  return source_ids_.lease(instance, request.workload_uid(), *address);
}

}  // namespace leat::agent
