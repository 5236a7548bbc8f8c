#include "control/file_set.h"

#include <utility>

#include <fmt/format.h>

namespace leat::control {
namespace {

v1::Finding stands_already(const Object& object, const Source& first) {
  return make_finding(Severity::kError, meta_of(object).source, describe(kind_of(object), meta_of(object).name), "",
                      fmt::format("stands in {}:{} already; that one counts", first.file, first.line));
}

}  // namespace

void FileSet::put(const std::string& path, Parsed parsed) {
  File fresh{.findings = std::move(parsed.findings)};
  for (Object& object : parsed.objects) {
    const ObjectKey key = key_of(object);
    const auto first = fresh.objects.find(key);
    if (first == fresh.objects.end()) {
      fresh.objects.emplace(key, std::move(object));
    } else {
      fresh.findings.push_back(stands_already(object, meta_of(first->second).source));
    }
  }
  File& file = files_[path];
  if (!parsed.whole) fresh.objects.merge(file.objects);
  std::swap(file, fresh);

  std::set<ObjectKey> touched;
  for (const auto& [key, object] : fresh.objects) {  // what was there before, and is not there now
    if (!file.objects.contains(key)) paths_[key].erase(path);
    touched.insert(key);
  }
  for (const auto& [key, object] : file.objects) {
    paths_[key].insert(path);
    touched.insert(key);
  }
  for (const ObjectKey& key : touched) settle(key);
}

void FileSet::put_unreadable(const std::string& path, v1::Finding finding) {
  files_[path].findings = {std::move(finding)};
}

void FileSet::remove(const std::string& path) {
  const auto file = files_.find(path);
  if (file == files_.end()) return;
  const auto objects = std::move(file->second.objects);
  files_.erase(file);
  for (const auto& [key, object] : objects) {
    paths_[key].erase(path);
    settle(key);
  }
}

void FileSet::settle(const ObjectKey& key) {
  const auto standing = paths_.find(key);
  if (standing->second.empty()) {
    paths_.erase(standing);
    duplicates_.erase(key);
    objects_.remove(key);
    return;
  }
  if (standing->second.size() > 1) {
    duplicates_.insert(key);
  } else {
    duplicates_.erase(key);
  }
  objects_.put(files_.at(*standing->second.begin()).objects.at(key));
}

Findings FileSet::findings() const {
  Findings all;
  for (const auto& [path, file] : files_) all.insert(all.end(), file.findings.begin(), file.findings.end());
  for (const ObjectKey& key : duplicates_) {
    const std::set<std::string>& paths = paths_.at(key);
    const Source& first = meta_of(files_.at(*paths.begin()).objects.at(key)).source;
    for (auto path = std::next(paths.begin()); path != paths.end(); ++path) {
      all.push_back(stands_already(files_.at(*path).objects.at(key), first));
    }
  }
  sort_findings(all);
  return all;
}

}  // namespace leat::control
