// The certificates of this node's service accounts: keys are made here and never leave the process; the agent carries
// requests to the CA and chains back. Renewed at half life; a failure keeps what there is until it expires, and is
// tried again. Lives on the control thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/event_loop.h"
#include "leat.pb.h"
#include "userspace-proxy/tls/credentials.h"

namespace leat::proxy {

class Certificates {
 public:
  using Account = std::pair<std::string, std::string>;  // namespace, service account
  struct Handlers {
    std::function<void(const v1::SignRequest&)> sign;                  // to the agent; lost if there is none
    std::function<void(const Account&, tls::CredentialsPtr)> changed;  // null: this account has none (any more)
  };

  Certificates(EventLoop& loop, Handlers handlers)
      : loop_(loop), handlers_(std::move(handlers)), random_(std::random_device{}()) {}
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;
  ~Certificates();

  // Which accounts need a certificate, and of which trust domain.
  void want(const std::set<Account>& accounts, const std::string& trust_domain);
  void set_roots(const v1::Roots& roots);
  void signed_by_ca(const v1::Signed& answer);
  // The agent is back: what was asked and not answered is asked again.
  void agent_returned();

  void report(std::vector<v1::Certificate>* out) const;

 private:
  struct Entry {
    // Of the request under way.
    uint64_t request = 0;  // 0: none
    std::optional<tls::KeyPair> new_key;
    // In force.
    std::optional<tls::KeyPair> key;
    std::vector<std::string> chain_der;
    tls::CredentialsPtr credentials;
    std::chrono::system_clock::time_point renew_at{};
    EventLoop::TimerId timer = 0;
    uint32_t failures = 0;  // in a row
    std::string last_error;
    std::chrono::system_clock::time_point last_error_at{};
  };
  using Entries = std::map<Account, Entry>;

  void request(const Account& account, Entry& entry);
  void schedule(const Account& account, Entry& entry, std::chrono::milliseconds delay);
  void due(const Account& account);
  void failed(const Account& account, Entry& entry, std::string why);
  void put_in_force(const Account& account, Entry& entry);
  void drop_expired(const Account& account, Entry& entry);
  // `span` times a factor of 0.9 … 1.1, so that certificates made together are not renewed together.
  std::chrono::milliseconds jittered(std::chrono::milliseconds span);

  EventLoop& loop_;
  Handlers handlers_;
  std::minstd_rand random_;
  std::string trust_domain_;
  std::vector<std::string> roots_der_;
  std::shared_ptr<const tls::TrustBundle> trust_;
  uint64_t next_request_ = 1;
  Entries entries_;
};

}  // namespace leat::proxy
