// The kinds that a cluster is watched for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/read_object.h"

namespace leat::sources {

struct Resource {
  const control::Reader* reader = nullptr;
  std::string_view plural;
  std::string field_selector;  // empty: all
  bool may_be_absent = false;  // it is no kind of Kubernetes' own
};

// As `node` watches them: of the pods its own.
std::vector<Resource> watched_resources(const std::string& node);

// "v1" -> /api/v1/pods, "leat.dev/v1alpha1" -> /apis/leat.dev/v1alpha1/meshes
std::string collection_path(std::string_view api_version, std::string_view plural);
// The versions that a kind may be served in, the wanted one first.
std::vector<std::string> api_versions(const control::Reader& reader);

}  // namespace leat::sources
