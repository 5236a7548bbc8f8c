// Every limit and default time of capture. Sizes of BPF maps stand beside the maps, in bpf/maps.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace leat::capture::limits {

// Connections that wait in a listener while no proxy accepts: a second of 4,000 new connections a pod. The kernel cuts
// it to the namespace's net.core.somaxconn (4096 by default), which apply() reports.
inline constexpr int kListenBacklog = 4096;

// Sockets a call of the broker makes: the most that one message to the proxy carries as file descriptors with room to
// spare.
inline constexpr uint32_t kBrokerBatchMax = 32;

// Handshakes of one client pod that the kernel vouches for at once; beyond it connects go by the proxy. 64 pods can
// fill the table.
inline constexpr uint32_t kPendingPerPodMax = 1024;

// How long a backend that failed a direct connect is left to the proxy, which knows more about its health.
inline constexpr std::chrono::nanoseconds kEjectTime = std::chrono::seconds(5);

// Namespaces of released pods that are remembered, so that their old connections keep their names; the oldest are
// forgotten first.
inline constexpr size_t kReleasedMax = 4096;

}  // namespace leat::capture::limits
