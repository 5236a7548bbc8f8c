// What leat-ca asks of the API server, each a question with one answer. It keeps nothing and decides nothing.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "ca/caller.h"
#include "common/kubernetes/lease.h"

namespace leat::ca {

using kubernetes::LeaseBook;

struct ClusterNames {
  std::string ns;          // that leat-ca runs in
  std::string secret;      // of the roots
  std::string config_map;  // of the bundle; a ClusterTrustBundle has the same name
  std::string lease;
};

class Cluster {
 public:
  template <typename T>
  using Done = kubernetes::Done<T>;

  Cluster(kubernetes::ApiClient& client, ClusterNames names) : client_(client), names_(std::move(names)) {}

  void review(const std::string& token, const std::string& audience, Done<Caller> done);
  // As the API server's cache has them: at most moments old.
  void pods_of(const std::string& node, Done<std::vector<PodFacts>> done);
  void pod(const std::string& ns, const std::string& name, Done<PodFacts> done);

  struct Secret {
    std::map<std::string, std::string> fields;
    std::string version;
    std::string order;  // annotation leat.dev/rotate
  };
  void secret(Done<std::optional<Secret>> done);
  // Without a version it is made. kConflict: somebody else was faster; look again.
  void write_secret(const std::map<std::string, std::string>& fields, const std::optional<Secret>& before,
                    Done<void> done);

  void lease(Done<std::optional<LeaseBook::Lease>> done);
  void write_lease(const std::string& holder, std::chrono::seconds duration,
                   const std::optional<LeaseBook::Lease>& before, Done<void> done);

  void publish_config_map(const std::string& bundle_pem, Done<void> done);
  // True: it is served here. In the first version that the server has; kNotFound becomes false.
  void publish_trust_bundle(const std::string& bundle_pem, Done<bool> done);

 private:
  using Answer = kubernetes::ApiClient::Answer;
  void ask(kubernetes::ApiClient::Request request, Done<Answer> done);
  // Nothing where it is not there.
  template <typename Object>
  void read(const std::string& path, const char* kind, Object (*parse)(const nlohmann::json&),
            Done<std::optional<Object>> done);
  void write(const std::string& collection, const std::string& name, bool exists, std::string body, Done<void> done);
  void publish_trust_bundle_in(size_t version, const std::string& bundle_pem, Done<bool> done);

  kubernetes::ApiClient& client_;
  ClusterNames names_;
};

}  // namespace leat::ca
