// What a runtime writes to the plugin's standard input: our entry of the network's list, with the result of the plugins
// before it.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cni/error.h"
#include "common/cni_message.h"

namespace leat::cni {

inline constexpr std::array<std::string_view, 4> kVersions{"0.3.1", "0.4.0", "1.0.0", "1.1.0"};

// ---- limits: the kubelet tries a failed pod again after 12 to 15 s, and the runtime has a deadline of its own
inline constexpr std::chrono::milliseconds kDefaultWait{8000};
inline constexpr std::chrono::milliseconds kMaxWait{30'000};
inline constexpr size_t kMaxConfigBytes = 8u << 20;  // a GC of a full node is 200 KB

struct NetworkConfig {
  std::string cni_version = "0.1.0";  // what a configuration without one means
  std::string name;

  // Our own keys.
  std::string state = "/var/lib/leat";  // the agent's state folder, as the host has it
  std::string own_namespace;            // of Leat's own pods: never held back
  std::chrono::milliseconds wait = kDefaultWait;
  bool status_needs_agent = false;  // STATUS fails while no agent answers

  std::optional<std::string> prev_result;  // byte for byte
  std::string prev_version;                // empty: it says none
  std::vector<std::string> addresses;      // in prevResult, of interfaces inside the pod, without prefix length
  std::vector<ContainerInterface> valid;   // GC: what is still there
};

// kDecoding: not JSON; kInvalidConfig: a key that is needed is missing or malformed.
Expected<NetworkConfig> read_network_config(std::string_view text);

bool is_supported(std::string_view version);
// Of supported or older versions; kDecoding where one is no version.
Expected<bool> is_at_least(std::string_view version, std::string_view floor);

// The result of the plugins before this one, as this one's. Only its version is changed where it is another one of the
// same family than the configuration's.
Expected<std::string> chained_result(const NetworkConfig& config);

}  // namespace leat::cni
