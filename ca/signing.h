// One request for a certificate, from its token to its answer:
//
//   token -> TokenReview -> is it an agent? -> the node's rate -> does that node run such a pod? -> sign -> a line of
//   audit
//
// A stranger is told nothing but that it is one. Whoever has proved to be the agent of a node is told why it is
// refused: that says no more than what it sees on its own node, and a person who looks at the node finds the cause. All
// of it stands in the log.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "ca/cluster.h"
#include "ca/root_keeper.h"
#include "common/token_bucket.h"

namespace leat::ca {

class Signing {
 public:
  struct Settings {
    std::string trust_domain;
    std::string audience;
    std::set<std::string> agents;               // NAMESPACE/SERVICEACCOUNT
    std::chrono::seconds lifetime{};            // of a leaf, at most and by default
    double signs_a_second = 0, sign_burst = 0;  // a node
  };
  struct Request {
    std::string csr_pem;
    int64_t lifetime_s = 0;  // 0 or less: the default
    std::string identity;    // as asked for; empty: the caller's own
    std::string token;       // empty: none came
    std::string peer;        // its address, for the log
  };
  enum class Outcome : uint8_t { kIssued, kUnauthenticated, kDenied, kInvalid, kBusy, kUnavailable };
  struct Answer {
    Outcome outcome = Outcome::kUnavailable;
    std::string told;                // what the caller may know
    std::vector<std::string> chain;  // PEM
  };
  using Done = std::function<void(Answer)>;
  struct Counters {
    std::map<Outcome, uint64_t> answers;
    uint64_t reviews = 0, pod_lists = 0;
  };

  Signing(Cluster& cluster, const RootKeeper& keeper, Settings settings);

  // `done` is called once, now or later.
  void handle(Request request, Done done);
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] size_t pending() const { return pending_; }

  static const char* name_of(Outcome outcome);

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Job {
    Request request;
    SpiffeId identity;
    Caller caller;
    Done done;
    Time began;
  };
  using JobPtr = std::shared_ptr<Job>;
  struct NodePods {
    std::vector<PodFacts> pods;
    Time taken;
  };

  void authenticate(const JobPtr& job);
  void find_node(const JobPtr& job);
  void authorise(const JobPtr& job);
  void ask_for_pods(const JobPtr& job);
  void sign(const JobPtr& job);
  void refuse(const JobPtr& job, Outcome outcome, std::string told, const std::string& why);
  void finish(const JobPtr& job, Answer answer);

  Cluster& cluster_;
  const RootKeeper& keeper_;
  Settings settings_;
  Counters counters_;
  size_t pending_ = 0;
  TokenBucket reviews_;
  std::map<std::string, std::pair<Caller, Time>> tokens_;  // by their SHA-256: found good until then
  std::map<std::string, TokenBucket> rates_;               // by node
  std::map<std::string, NodePods> pods_;                   // by node
  std::map<std::string, std::vector<JobPtr>> waiting_;     // by node: for its pods, that were asked for
};

}  // namespace leat::ca
