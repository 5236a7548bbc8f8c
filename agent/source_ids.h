// Alias ids of clients outside the model, leased to the proxy whose flows show them: an application that such a client
// reaches through the proxy must see the client's address. Held in the same book as the model's ids. A lease belongs to
// a proxy instance, so that it outlives a lost connection and a restart of the agent. It ends when the proxy gives it
// back, when its process is gone, and when the proxy has connected anew and does not ask for it again in time (what it
// gave back meanwhile was lost).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/ip.h"
#include "common/result.h"
#include "control/alias_book.h"

namespace leat::agent {

class SourceIds {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // `book` outlives this.
  explicit SourceIds(control::AliasBook& book) : book_(book) {}

  // The id of `address` for flows to `pod`, until release(), however often it is asked for: the proxy counts its flows.
  // kExhausted: the pod's quota is used up.
  Result<uint32_t> lease(const std::string& instance, const std::string& pod, const IpAddress& address);
  // False: this instance has no lease of that id.
  bool release(const std::string& instance, uint32_t id);
  void release_all(const std::string& instance);
  // The instance asks again for what it still uses; what it has not by then is no longer its.
  void claim_anew(const std::string& instance, Time until);
  // True: others may still be claimed.
  bool release_unclaimed(Time now);

  // What the kernel must be able to decode, by id.
  [[nodiscard]] std::map<uint32_t, IpAddress> leased() const;

  [[nodiscard]] size_t held() const { return leases_.size(); }  // by all proxies
  [[nodiscard]] uint64_t version() const { return version_; }   // counts up when the saved form changes
  [[nodiscard]] std::string save() const;
  // Takes the leases of a former life up again, to be claimed `until` then. Lines that can't be read are an error,
  // after which some leases may be held.
  Result<void> load(std::string_view text, Time until);

 private:
  struct Lease {
    IpAddress address;
    std::string pod;
    std::optional<Time> claim_until;  // none: claimed
  };
  using Leases = std::map<std::pair<std::string, uint32_t>, Lease>;  // by instance and id
  void end(Leases::iterator lease);

  control::AliasBook& book_;
  Leases leases_;
  std::map<std::string, size_t> leases_of_pod_;
  uint64_t version_ = 0;
};

}  // namespace leat::agent
