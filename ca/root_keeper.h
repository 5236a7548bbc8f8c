// Makes the mesh's root, rotates and publishes it: the leader among the replicas writes, all of them read and sign.
// With an issuer that was given in files, the files say who signs, and only publishing is left.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "ca/cluster.h"
#include "ca/issuer.h"
#include "ca/roots.h"
#include "common/event_loop.h"

namespace leat::ca {

// Who signs now, and what peers trust. Immutable.
struct Authority {
  Issuer issuer;
  std::vector<std::string> chain_pem;  // what follows a leaf in an answer: intermediates, and the root last
  std::string bundle_pem;
};
using AuthorityPtr = std::shared_ptr<const Authority>;

class RootKeeper {
 public:
  struct Settings {
    std::string trust_domain;
    std::string replica;  // this one's name among the others
    RotationTimes times;
    std::chrono::milliseconds sync;
    std::chrono::seconds lease;
    // An issuer of somebody else's; empty: an own root in the Secret.
    std::string issuer_key_file, issuer_chain_file, root_file;
  };
  using Changed = std::function<void(const AuthorityPtr&)>;

  RootKeeper(EventLoop& loop, Cluster& cluster, Settings settings, Changed changed);
  ~RootKeeper();

  void start() { look_at_lease(); }
  // Lets the next leader begin at once.
  void resign(const std::function<void()>& done);

  [[nodiscard]] const AuthorityPtr& authority() const { return authority_; }
  [[nodiscard]] bool leads() const { return book_.leads(LeaseBook::Clock::now()); }
  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] bool rotating() const { return roots_ && (roots_->next || !roots_->former_pem.empty()); }
  // When all of this last worked.
  [[nodiscard]] LeaseBook::Clock::time_point last_good() const { return last_good_; }

 private:
  void look_at_lease();
  void look_at_roots();
  void on_secret(const std::optional<Cluster::Secret>& secret);
  void advance_from(const Cluster::Secret& secret);
  void read_files();
  Result<void> use(Issuer issuer, std::string bundle_pem);
  void publish();
  void failed(const Error& error, const char* at);
  void end_round();

  EventLoop& loop_;
  Cluster& cluster_;
  Settings settings_;
  Changed changed_;
  LeaseBook book_;
  std::optional<LeaseBook::Lease> lease_;
  std::optional<RootSet> roots_;
  AuthorityPtr authority_;
  std::string published_;
  LeaseBook::Clock::time_point published_at_{};
  bool told_of_trust_bundle_ = false;
  bool led_ = false;
  bool resigned_ = false;
  std::string failure_;
  LeaseBook::Clock::time_point last_good_{};
  EventLoop::TimerId timer_ = 0;
};

}  // namespace leat::ca
