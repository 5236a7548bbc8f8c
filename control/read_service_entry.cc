#include "control/read_service_entry.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "control/text.h"

namespace leat::control {
namespace {

bool is_host(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::ranges::all_of(text, [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-' || letter == '.';
  });
}

void read_hosts(const Field& list, ServiceEntry& entry) {
  for (const Field& item : list.items()) {
    const std::string host = lower_case(item.text_or());
    if (host.contains('*')) {
      item.warn("wildcards are not supported: a Service has one name; ignored");
    } else if (is_host(host)) {
      entry.hosts.push_back(host);
    } else {
      item.error(fmt::format("'{}' is no host; ignored", host));
    }
  }
  if (list.items().empty()) list.fatal("missing: say what the entry is for; the object is left out");
}

void read_addresses(const Field& list, ServiceEntry& entry) {
  for (const Field& item : list.items()) {
    const std::string text = item.text_or();
    if (text.contains('/')) {
      item.warn("blocks of addresses are not supported: connections to them are left alone");
    } else if (const auto address = item.address()) {
      entry.addresses.push_back(*address);
    }
  }
}

void read_ports(const Field& list, ServiceEntry& entry) {
  for (const Field& item : list.items()) {
    const auto number = item["number"].port();
    if (!number) continue;
    const std::string protocol = lower_case(item["protocol"].text_or("tcp"));
    if (protocol == "udp") {
      item["protocol"].warn("UDP is not in the mesh; the port is left out");
      continue;
    }
    entry.ports.push_back({.name = item["name"].text_or(),
                           .port = *number,
                           .target = {.number = item["targetPort"].port().value_or(*number)},
                           .app_protocol = protocol});
  }
}

void read_endpoints(const Field& list, ServiceEntry& entry) {
  for (const Field& item : list.items()) {
    const Field address = item["address"];
    ServiceEntryEndpoint endpoint;
    const auto ip = IpAddress::parse(address.text_or());
    if (!ip) {
      address.error("must be an IP address: names are not resolved; the endpoint is left out");
      continue;
    }
    endpoint.address = *ip;
    for (const auto& [name, port] : item["ports"].entries()) {
      if (const auto number = port.port()) endpoint.ports[name] = *number;
    }
    if (const auto weight = item["weight"].text()) {
      const auto [end, status] = std::from_chars(weight->data(), weight->data() + weight->size(), endpoint.weight);
      if (status != std::errc{} || end != weight->data() + weight->size())
        item["weight"].error(fmt::format("must be a whole number, not '{}'; 1 is taken", *weight));
    }
    entry.endpoints.push_back(std::move(endpoint));
  }
}

}  // namespace

Object read_service_entry(const Field& root, Meta meta) {
  ServiceEntry entry{.meta = std::move(meta)};
  const Field spec = root["spec"];
  read_hosts(spec["hosts"], entry);
  read_addresses(spec["addresses"], entry);
  read_ports(spec["ports"], entry);
  read_endpoints(spec["endpoints"], entry);
  entry.workloads = spec["workloadSelector"]["labels"].labels();
  const std::string resolution = spec["resolution"].text_or("NONE");
  entry.place = {spec["resolution"].path(), spec["resolution"].line()};
  entry.resolution = resolution;
  if (entry.ports.empty()) spec["ports"].error("no port that Leat can use: the entry has no effect");
  return entry;
}

}  // namespace leat::control
