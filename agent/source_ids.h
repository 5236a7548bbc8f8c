// Alias ids of clients outside the model, leased to the proxy whose flows show them: an application that such a client
// reaches through the proxy must see the client's address. Held in the same book as the model's ids. A lease belongs to
// a proxy instance, so that it outlives a lost connection and a restart of the agent, and ends when the proxy gives it
// back or its process is gone.
#pragma once

#include <cstdint>
#include <map>
#include <set>
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
  // `book` outlives this.
  explicit SourceIds(control::AliasBook& book) : book_(book) {}

  // The id of `address` for a flow to `pod`, until release(): as often as it was leased. kExhausted: the pod's quota is
  // used up.
  Result<uint32_t> lease(const std::string& instance, const std::string& pod, const IpAddress& address);
  // False: this instance has no lease of that id.
  bool release(const std::string& instance, uint32_t id);
  void release_all(const std::string& instance);

  // What the kernel must be able to decode, by id.
  [[nodiscard]] std::vector<std::pair<uint32_t, IpAddress>> leased() const;
  [[nodiscard]] std::set<std::string> instances() const;

  [[nodiscard]] uint64_t version() const { return version_; }  // counts up when the saved form changes
  [[nodiscard]] std::string save() const;
  // Takes the leases of a former life up again. Lines that can't be read are an error, after which some leases may be
  // held.
  Result<void> load(std::string_view text);

 private:
  struct Lease {
    IpAddress address;
    std::string pod;
    uint32_t flows = 0;
  };
  void end(std::map<std::pair<std::string, uint32_t>, Lease>::iterator lease);

  control::AliasBook& book_;
  std::map<std::pair<std::string, uint32_t>, Lease> leases_;  // by instance and id
  std::map<std::string, size_t> leases_of_pod_;
  uint64_t version_ = 0;
};

}  // namespace leat::agent
