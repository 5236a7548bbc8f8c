#include "agent/sources/kubernetes/pod_namespaces.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "agent/capture/netns.h"
#include "common/log.h"

namespace leat::sources {
namespace {

std::optional<ino_t> inode_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return status.st_ino;
}

bool holds_all(const std::vector<IpAddress>& all, const std::vector<IpAddress>& wanted) {
  return std::ranges::all_of(wanted,
                             [&](const IpAddress& address) { return std::ranges::find(all, address) != all.end(); });
}

}  // namespace

std::string PodNamespaces::find(const control::Pod& pod, const control::ObjectSet& objects) {
  for (const auto& [path, claim] : claims_) {
    if (claim.uid == pod.meta.uid && inode_of(path) == claim.inode && holds_all(read_(path), pod.addresses))
      return path;
  }
  drop_claims(objects);
  std::erase_if(claims_, [&](const auto& entry) { return entry.second.uid == pod.meta.uid; });

  std::string found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    const std::string path = entry.path();
    if (claims_.contains(path) || !holds_all(read_(path), pod.addresses)) continue;
    if (!found.empty()) {
      log::warn("{}: both {} and {} have its address {}; neither is taken", control::describe(pod.kKind, pod.meta.name),
                found, path, pod.addresses.front().text());
      return "";
    }
    found = path;
  }
  const auto inode = found.empty() ? std::nullopt : inode_of(found);
  if (!inode) return "";
  claims_[found] = {.pod = pod.meta.name, .uid = pod.meta.uid, .inode = *inode};
  return found;
}

// Of pods that are gone, and of namespaces that are.
void PodNamespaces::drop_claims(const control::ObjectSet& objects) {
  std::erase_if(claims_, [&](const auto& entry) {
    const auto& [path, claim] = entry;
    const auto* pod = objects.find<control::Pod>(claim.pod);
    return pod == nullptr || pod->meta.uid != claim.uid || inode_of(path) != claim.inode;
  });
}

std::vector<IpAddress> read_addresses_in(const std::string& netns_path) {
  std::vector<IpAddress> addresses;
  const auto scope = capture::NetnsScope::enter(netns_path);
  ifaddrs* list = nullptr;
  if (!scope || getifaddrs(&list) != 0) return addresses;
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, &freeifaddrs);
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_LOOPBACK) != 0) continue;
    if (at->ifa_addr->sa_family == AF_INET) {
      addresses.push_back(IpAddress::v4(ntohl(reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr.s_addr)));
    } else if (at->ifa_addr->sa_family == AF_INET6) {
      addresses.push_back(IpAddress::v6(reinterpret_cast<const sockaddr_in6*>(at->ifa_addr)->sin6_addr));
    }
  }
  return addresses;
}

}  // namespace leat::sources
