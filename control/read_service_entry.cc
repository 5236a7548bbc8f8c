#include "control/read_service_entry.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "control/read_visibility.h"
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
    if (is_host(host.starts_with("*.") ? std::string_view(host).substr(2) : std::string_view(host))) {
      entry.hosts.push_back(host);
    } else {
      item.error(fmt::format("'{}' is no host, nor one that begins with '*.'; ignored", host));
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
    const std::string text = lower_case(address.text_or());
    if (const auto ip = IpAddress::parse(text)) {
      endpoint.address = *ip;
    } else if (entry.is_resolved() && is_host(text)) {
      endpoint.host = text;
    } else {
      address.error(fmt::format("must be an IP address{}, not '{}'; the endpoint is left out",
                                entry.is_resolved() ? " or a host" : ": only with DNS are names resolved", text));
      continue;
    }
    endpoint.labels = item["labels"].labels();
    endpoint.locality = item["locality"].text_or();
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
  const Field resolution = spec["resolution"];
  entry.place = {resolution.path(), resolution.line()};
  entry.resolution = resolution.text_or("NONE");
  if (entry.resolution == "DYNAMIC_DNS") {
    resolution.error("DYNAMIC_DNS is not supported: a host is resolved once for all; NONE is taken");
    entry.resolution = "NONE";
  } else if (entry.resolution != "NONE" && entry.resolution != "STATIC" && !entry.is_resolved()) {
    resolution.error(
        fmt::format("must be NONE, STATIC, DNS or DNS_ROUND_ROBIN, not '{}'; NONE is taken", entry.resolution));
    entry.resolution = "NONE";
  }
  read_hosts(spec["hosts"], entry);
  read_addresses(spec["addresses"], entry);
  read_ports(spec["ports"], entry);
  read_endpoints(spec["endpoints"], entry);
  entry.workloads = spec["workloadSelector"]["labels"].labels();
  entry.visible_to = read_visibility(spec["exportTo"], entry.meta.name.ns);
  const std::string location = spec["location"].text_or("MESH_EXTERNAL");
  entry.in_mesh = location == "MESH_INTERNAL";
  if (!entry.in_mesh && location != "MESH_EXTERNAL")
    spec["location"].error(fmt::format("must be MESH_EXTERNAL or MESH_INTERNAL, not '{}'; ignored", location));
  for (const Field& item : spec["subjectAltNames"].items()) entry.subject_alt_names.push_back(item.text_or());
  if (entry.ports.empty()) spec["ports"].error("no port that Leat can use: the entry has no effect");
  return entry;
}

}  // namespace leat::control
