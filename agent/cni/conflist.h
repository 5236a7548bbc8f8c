// Edits of a CNI configuration, as text: our entry in, or out, and every other byte as it was. Whose file it is, its
// version, its unknown keys and its line ends are not ours to change.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace leat::agent {

inline constexpr char kPluginType[] = "leat-cni";

// What is written into a list about the plugin.
struct PluginEntry {
  std::string state;  // as the host has it
  std::string own_namespace;
  uint64_t wait_ms = 0;
};

struct NetworkFile {
  std::string name;         // of the network
  std::string cni_version;  // empty: it says none
  bool is_list = false;     // a conflist; otherwise the configuration of one plugin
};

// kInvalid: a container runtime would not take it either.
Result<NetworkFile> read_network_file(std::string_view text);

// The list with our entry last, once. What is there already as it should be comes back unchanged.
Result<std::string> with_entry(std::string_view list, const PluginEntry& entry);
// The same without our entry.
Result<std::string> without_entry(std::string_view list);
// A list of one plugin's configuration, and our entry behind it.
Result<std::string> list_of(std::string_view single, const PluginEntry& entry);
// A file of our own with one entry, for runtimes that add such to a network by themselves (libcni 1.3).
std::string drop_in(const NetworkFile& network, const PluginEntry& entry);

}  // namespace leat::agent
