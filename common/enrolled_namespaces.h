// Which namespaces are in the mesh, as the agent leaves it in a file for leat-cni to read while no agent answers: pods
// of these wait for the agent, all others pass and never meet it. The file outlives the agent and a reboot.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace leat::cni {

// The namespace and since when, RFC 3339 in UTC: a pod that is younger must have been captured from its start.
using EnrolledNamespaces = std::map<std::string, std::string>;

std::string save(const EnrolledNamespaces& namespaces);
// Nothing: truncated, or not such a file. That is not the same as "none is enrolled".
std::optional<EnrolledNamespaces> load_enrolled_namespaces(std::string_view text);

}  // namespace leat::cni
