// Which files of a folder are manifests, and which namespace is meant where they name none: one rule for the agent and
// for `leat lint`.
//
//   FOLDER/*.yaml, *.yml, *.json           objects without a namespace are in `default`
//   FOLDER/NAME/*.yaml, *.yml, *.json      … are in NAME
//
// Names that begin with a dot are not read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "control/findings.h"

namespace leat::sources {

struct Manifest {
  std::filesystem::path path;
  std::string default_namespace;
};

struct ManifestFolder {
  std::vector<Manifest> manifests;                // by path
  std::vector<std::filesystem::path> subfolders;  // that were listed
  control::Findings findings;                     // folders that can't be or are not read
};

ManifestFolder list_manifests(const std::filesystem::path& folder);

// By its name alone.
bool is_manifest(const std::filesystem::path& path);

}  // namespace leat::sources
