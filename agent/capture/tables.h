// A Plan as rows of the BPF maps. Pure: the same plan always makes the same rows.
#pragma once

#include "agent/capture/bpf_map.h"
#include "agent/capture/capture.h"
#include "bpf/types.h"

namespace leat::capture {

leat_ip to_leat_ip(const IpAddress& address);
IpAddress from_leat_ip(const leat_ip& ip);

struct Tables {
  Rows<leat_ip, uint32_t> pod_addresses;
  Rows<leat_port_key, uint32_t> pod_ports;
  Rows<leat_network_key, uint8_t> excluded_networks;
  Rows<leat_ip, uint32_t> destinations;
  Rows<uint32_t, leat_ip> alias_addresses;
  Rows<leat_service_key, leat_service> services;
  Rows<leat_service_key, leat_backend> backends;
  std::vector<leat_ip> gone_destinations;  // where the plan names only what changed of the aliases
};

// What the maps have of the aliases, for such a plan.
struct Known {
  const Rows<uint32_t, leat_ip>& alias_addresses;
  const Rows<leat_ip, uint32_t>& destinations;
};

// The pod's row in `pods`, for a pod that is captured in the namespace of this cookie.
leat_pod pod_row(const PodSpec& pod, uint64_t netns_cookie);

// What makes the plan impossible to carry out for this pod (index, addresses …), before anything is touched.
Result<void> validate(const PodSpec& pod);

// `pods`: those of the plan that are to be captured. Rows that can't be are left out and named in `notes`. `known`:
// null where the plan names all aliases.
Tables build_tables(const Plan& plan, const std::vector<const PodSpec*>& pods, std::vector<std::string>& notes,
                    const Known* known = nullptr);

}  // namespace leat::capture
