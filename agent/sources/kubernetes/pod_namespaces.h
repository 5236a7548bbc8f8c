// The network namespace of a pod, found as the kernel has it: every entry of the host's netns folder is entered and
// asked for its addresses. A namespace is one pod's, and stays that pod's while both live, so that a pod which gives
// itself a neighbour's address later gains nothing; where two unclaimed ones have the address, neither is taken.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/ip.h"
#include "control/objects.h"

namespace leat::sources {

class PodNamespaces {
 public:
  // Addresses of the namespace at `path`; empty where it can't be entered.
  using ReadAddresses = std::function<std::vector<IpAddress>(const std::string& path)>;

  // `folder`: /run/netns, where container runtimes bind them.
  PodNamespaces(std::string folder, ReadAddresses read) : folder_(std::move(folder)), read_(std::move(read)) {}

  // The path of `pod`'s, empty: there is none, or it is not clear. `objects`: the pods that live here.
  std::string find(const control::Pod& pod, const control::ObjectSet& objects);

 private:
  struct Claim {
    control::Name pod;
    std::string uid;
    ino_t inode;
  };
  void drop_claims(const control::ObjectSet& objects);

  std::string folder_;
  ReadAddresses read_;
  std::map<std::string, Claim> claims_;  // by path
};

// By entering it: needs CAP_SYS_ADMIN.
std::vector<IpAddress> read_addresses_in(const std::string& netns_path);

}  // namespace leat::sources
