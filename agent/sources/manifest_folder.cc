#include "agent/sources/manifest_folder.h"

#include <algorithm>

namespace leat::sources {

namespace fs = std::filesystem;
using control::Severity;

namespace {

v1::Finding about(Severity severity, const fs::path& folder, std::string message) {
  return control::make_finding(severity, {folder, 0}, "", "", std::move(message));
}

}  // namespace

bool is_manifest(const fs::path& path) {
  const std::string extension = path.extension();
  return !path.filename().native().starts_with('.') &&
         (extension == ".yaml" || extension == ".yml" || extension == ".json");
}

ManifestFolder list_manifests(const fs::path& folder) {
  ManifestFolder result;
  const auto list = [&result](const fs::path& some, const std::string& default_namespace, auto&& on_folder) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(some, error)) {
      std::error_code entry_error;
      if (entry.path().filename().native().starts_with('.')) continue;
      if (entry.is_directory(entry_error)) {
        on_folder(entry.path());
      } else if (is_manifest(entry.path())) {
        result.manifests.push_back({entry.path(), default_namespace});
      }
    }
    if (error) result.findings.push_back(about(Severity::kError, some, "can't be read: " + error.message()));
  };
  list(folder, "default", [&](const fs::path& below) {
    result.subfolders.push_back(below);
    list(below, below.filename(), [&result](const fs::path& deeper) {
      result.findings.push_back(
          about(Severity::kWarning, deeper, "not read: only one level of folders, named like namespaces, is"));
    });
  });
  std::ranges::sort(result.manifests, {}, &Manifest::path);
  return result;
}

}  // namespace leat::sources
