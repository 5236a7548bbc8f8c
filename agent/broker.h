// What a proxy may ask of the node: sockets inside a pod's namespace, a certificate for a pod's identity, an alias id
// for a client that the model does not know. Each is for captured pods of this node only, within a quota a pod, and a
// refusal is an answer with its reason: an honest proxy may ask for a pod that has just gone.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/source_ids.h"
#include "common/result.h"
#include "common/token_bucket.h"
#include "common/unique_fd.h"
#include "leat.pb.h"

namespace leat::agent {

class Broker {
 public:
  using Time = TokenBucket::Time;
  struct Tools {
    std::function<Result<std::vector<UniqueFd>>(const std::string& pod_uid, bool ipv6, uint32_t count)> make_sockets;
    // The chain, leaf first, in DER; now or later.
    using Chain = Result<std::vector<std::string>>;
    struct Order {
      std::string who;  // of several orders of one name only the last is answered
      const v1::SignRequest& request;
      bool urgent = false;  // this proxy has none yet: connections may wait for it
    };
    std::function<void(const Order& order, std::function<void(Chain)> done)> sign;
  };
  struct Counters {
    uint64_t sockets = 0, socket_refusals = 0, certificates = 0, certificate_refusals = 0, source_ids = 0,
             source_id_refusals = 0;
  };

  Broker(Tools tools, SourceIds& source_ids, Time now);

  // The captured pods of this node, and so whom it may ask for.
  void set_pods(const v1::Mesh& mesh);

  std::pair<v1::ToProxy, std::vector<UniqueFd>> sockets(const v1::SocketRequest& request, Time now);
  // `answer` is called once, now or later; not for a request that the proxy has replaced by another meanwhile.
  void sign(const std::string& instance, const v1::SignRequest& request, Time now,
            std::function<void(const v1::ToProxy&)> answer);
  // This proxy was given a certificate for every identity of this node: it can take over without a connection waiting
  // for one.
  [[nodiscard]] bool has_all_certificates(const std::string& instance) const;
  void forget(const std::string& instance) { certified_.erase(instance); }
  // The id must be saved and in the kernel before the answer is sent.
  v1::ToProxy source_id(const std::string& instance, const v1::SourceIdRequest& request);

  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] size_t source_ids_held() const { return source_ids_.held(); }

 private:
  Result<std::vector<UniqueFd>> make_sockets(const v1::SocketRequest& request, Time now);
  Result<void> may_sign(const v1::SignRequest& request, Time now);
  Result<uint32_t> make_source_id(const std::string& instance, const v1::SourceIdRequest& request);

  Tools tools_;
  SourceIds& source_ids_;
  Counters counters_;
  TokenBucket signs_;
  std::map<std::string, TokenBucket> socket_quota_;         // by uid of each captured pod of this node
  std::set<std::string> identities_;                        // theirs
  std::map<std::string, std::set<std::string>> certified_;  // identities by proxy instance
};

}  // namespace leat::agent
