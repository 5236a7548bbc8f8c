#include "control/host_answers.h"

#include <algorithm>

#include <fmt/format.h>

namespace leat::control {

bool is_found_by_name(const ServiceEntry& entry, const std::string& host) {
  return entry.is_resolved() && entry.addresses.empty() && !host.starts_with('*');
}

std::set<std::string> hosts_to_resolve(const ObjectSet& objects) {
  std::set<std::string> hosts;
  for (const auto& [name, entry] : objects.all<ServiceEntry>()) {
    if (!entry.is_resolved() || entry.ports.empty() || !entry.workloads.empty()) continue;
    for (const ServiceEntryEndpoint& endpoint : entry.endpoints) {
      if (!endpoint.host.empty()) hosts.insert(endpoint.host);
    }
    for (const std::string& host : entry.hosts) {
      if (is_found_by_name(entry, host) || (entry.endpoints.empty() && !host.starts_with('*'))) hosts.insert(host);
    }
  }
  return hosts;
}

std::vector<IpAddress> answer_of(const View& objects, const std::string& host, std::string* problem) {
  const auto* answer = objects.find<HostAnswer>({"", host});
  if (answer == nullptr) return {};  // nobody has asked yet, or nobody asks here
  if (answer->addresses.empty() && problem != nullptr) *problem = fmt::format("'{}': {}", host, answer->problem);
  // Nothing that a name may be made to say turns connections inside a pod.
  std::vector<IpAddress> addresses;
  std::ranges::copy_if(answer->addresses, std::back_inserter(addresses),
                       [](const IpAddress& address) { return !address.is_loopback() && !address.is_unspecified(); });
  return addresses;
}

}  // namespace leat::control
