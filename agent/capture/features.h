// What the running kernel offers to capture. probe_features() of capture.h tells all of it to people.
#pragma once

namespace leat::capture {

// sk_lookup programs can see the interface (5.17). Without it IPv6 aliases can't be told from a neighbour's packets.
bool has_ingress_ifindex();

}  // namespace leat::capture
