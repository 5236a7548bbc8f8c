#include "ca/signing.h"

#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "ca/limits.h"
#include "common/log.h"

namespace leat::ca {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kStranger[] = "not authenticated as the agent of a node";
constexpr char kAway[] = "the CA can't answer now";

std::string digest_of(std::string_view token) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

// A line of the log is one line, whatever a stranger sends.
std::string printable(std::string_view text) {
  constexpr size_t kMost = 300;
  std::string clean(text.substr(0, kMost));
  std::ranges::replace_if(clean, [](char c) { return c < 0x20 || c > 0x7e || c == '"'; }, '?');
  return clean;
}

}  // namespace

const char* Signing::name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kIssued:
      return "issued";
    case Outcome::kUnauthenticated:
      return "unauthenticated";
    case Outcome::kDenied:
      return "denied";
    case Outcome::kInvalid:
      return "invalid";
    case Outcome::kBusy:
      return "busy";
    case Outcome::kUnavailable:
      return "unavailable";
  }
  return "?";
}

Signing::Signing(Cluster& cluster, const RootKeeper& keeper, Settings settings)
    : cluster_(cluster),
      keeper_(keeper),
      settings_(std::move(settings)),
      reviews_(limits::kReviewsASecond, limits::kReviewBurst, Clock::now()) {}

void Signing::handle(Request request, Done done) {
  ++pending_;
  const auto job = std::make_shared<Job>(
      Job{.request = std::move(request), .identity = {}, .caller = {}, .done = std::move(done), .began = Clock::now()});
  if (pending_ > limits::kMaxPending)
    return refuse(job, Outcome::kBusy, "too many requests at once", "too many requests at once");
  authenticate(job);
}

// ---------------------------------------------------------------- who is it

void Signing::authenticate(const JobPtr& job) {
  const std::string& token = job->request.token;
  if (token.empty() || token.size() > limits::kMaxTokenBytes)
    return refuse(job, Outcome::kUnauthenticated, kStranger, "no token, or one that is none");
  std::string digest = digest_of(token);
  if (const auto known = tokens_.find(digest); known != tokens_.end()) {
    if (known->second.second > job->began) {
      job->caller = known->second.first;
      return find_node(job);
    }
    tokens_.erase(known);
  }
  if (!reviews_.take(1, job->began))
    return refuse(job, Outcome::kBusy, kAway, "more tokens are shown than may be asked about");
  ++counters_.reviews;
  cluster_.review(token, settings_.audience, [this, job, digest = std::move(digest)](Result<Caller> caller) {
    if (!caller && caller.error().code == ErrorCode::kDenied && caller.error().message.starts_with("the API server"))
      return refuse(job, Outcome::kUnavailable, kAway, caller.error().message + " (leat-ca may not review tokens)");
    if (!caller && caller.error().code == ErrorCode::kDenied)
      return refuse(job, Outcome::kUnauthenticated, kStranger, caller.error().message);
    if (!caller) return refuse(job, Outcome::kUnavailable, kAway, caller.error().message);
    if (const auto agent = check_agent(*caller, settings_.agents); !agent)
      return refuse(job, Outcome::kUnauthenticated, kStranger, agent.error().message);
    if (tokens_.size() >= limits::kMaxTokens) tokens_.clear();
    job->caller = std::move(*caller);
    tokens_.insert_or_assign(digest, std::pair(job->caller, Clock::now() + limits::kTokenMemory));
    find_node(job);
  });
}

// An API server before 1.32 does not say on which node the token's pod runs; the pod does.
void Signing::find_node(const JobPtr& job) {
  if (!job->caller.node.empty()) return authorise(job);
  cluster_.pod(job->caller.ns, job->caller.pod, [this, job](const Result<PodFacts>& pod) {
    if (!pod && pod.error().code != ErrorCode::kNotFound)
      return refuse(job, Outcome::kUnavailable, kAway, pod.error().message);
    if (!pod || pod->uid != job->caller.pod_uid || pod->node.empty())
      return refuse(job, Outcome::kUnauthenticated, kStranger, "the pod of the token is gone");
    job->caller.node = pod->node;
    authorise(job);
  });
}

// ---------------------------------------------------------------- may it have that

void Signing::authorise(const JobPtr& job) {
  const std::string& asked = job->request.identity;
  const auto identity = asked.empty()
                            ? SpiffeId::make(settings_.trust_domain, job->caller.ns, job->caller.service_account)
                            : SpiffeId::parse(asked);
  if (!identity) return refuse(job, Outcome::kInvalid, identity.error().message, identity.error().message);
  job->identity = *identity;
  if (identity->trust_domain != settings_.trust_domain) {
    const std::string why = fmt::format("{} is not of the trust domain {}", identity->text(), settings_.trust_domain);
    return refuse(job, Outcome::kDenied, why, why);
  }
  if (rates_.size() >= limits::kMaxNodes) rates_.clear();
  TokenBucket& rate =
      rates_.try_emplace(job->caller.node, settings_.signs_a_second, settings_.sign_burst, job->began).first->second;
  if (!rate.take(1, job->began)) {
    const std::string why =
        fmt::format("{} asks for more than {} certificates a second", job->caller.node, settings_.signs_a_second);
    return refuse(job, Outcome::kBusy, why, why);
  }
  const auto known = pods_.find(job->caller.node);
  const bool fresh = known != pods_.end() && job->began - known->second.taken < limits::kPodsMemory;
  // What is not among the pods that are remembered may have come since.
  if (fresh && check_node(job->caller, job->identity, known->second.pods)) return sign(job);
  ask_for_pods(job);
}

void Signing::ask_for_pods(const JobPtr& job) {
  const std::string node = job->caller.node;
  std::vector<JobPtr>& waiting = waiting_[node];
  waiting.push_back(job);
  if (waiting.size() > 1) return;
  ++counters_.pod_lists;
  cluster_.pods_of(node, [this, node](Result<std::vector<PodFacts>> pods) {
    const std::vector<JobPtr> jobs = std::exchange(waiting_[node], {});
    waiting_.erase(node);
    if (pods) {
      if (pods_.size() >= limits::kMaxNodes) pods_.clear();
      pods_.insert_or_assign(node, NodePods{.pods = *pods, .taken = Clock::now()});
    }
    for (const JobPtr& each : jobs) {
      if (!pods) {
        refuse(each, Outcome::kUnavailable, kAway, pods.error().message);
      } else if (const auto may = check_node(each->caller, each->identity, *pods); !may) {
        refuse(each, Outcome::kDenied, may.error().message, may.error().message);
      } else {
        sign(each);
      }
    }
  });
}

// ---------------------------------------------------------------- the answer

void Signing::sign(const JobPtr& job) {
  const AuthorityPtr& authority = keeper_.authority();
  if (!authority) return refuse(job, Outcome::kUnavailable, kAway, "there is no root yet");
  const auto request = request_from_pem(job->request.csr_pem);
  if (!request) return refuse(job, Outcome::kInvalid, request.error().message, request.error().message);
  const std::chrono::seconds wanted(job->request.lifetime_s);
  const auto lifetime = wanted.count() <= 0 ? settings_.lifetime : std::min(wanted, settings_.lifetime);
  const auto leaf = authority->issuer.sign(*request, job->identity, lifetime);
  if (!leaf) return refuse(job, Outcome::kInvalid, leaf.error().message, leaf.error().message);

  const auto certificate = ssl::certificate_from_der(*leaf);
  log::info("audit: issued identity={} serial={} lifetime_s={} node={} agent={}/{} pod={} peer={}",
            job->identity.text(), ssl::serial_text(certificate.get()), lifetime.count(), job->caller.node,
            job->caller.ns, job->caller.service_account, job->caller.pod, job->request.peer);
  Answer answer{.outcome = Outcome::kIssued, .told = {}, .chain = {pem_of_certificate(*leaf)}};
  answer.chain.insert(answer.chain.end(), authority->chain_pem.begin(), authority->chain_pem.end());
  finish(job, std::move(answer));
}

void Signing::refuse(const JobPtr& job, Outcome outcome, std::string told, const std::string& why) {
  log::warn("audit: refused identity={} node={} agent={}/{} pod={} peer={} outcome={} reason=\"{}\"",
            printable(job->request.identity), job->caller.node, job->caller.ns, job->caller.service_account,
            job->caller.pod, job->request.peer, name_of(outcome), printable(why));
  finish(job, {.outcome = outcome, .told = std::move(told), .chain = {}});
}

void Signing::finish(const JobPtr& job, Answer answer) {
  --pending_;
  ++counters_.answers[answer.outcome];
  job->done(std::move(answer));
}

}  // namespace leat::ca
