#include "control/file_set.h"

#include <utility>

#include <fmt/format.h>

namespace leat::control {
namespace {

v1::Finding stands_already(const ObjectPtr& object, const Source& first) {
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
      fresh.objects.emplace(key, share(std::move(object)));
    } else {
      fresh.findings.push_back(stands_already(share(std::move(object)), meta_of(first->second).source));
    }
  }
  File& file = files_[path];
  if (!parsed.whole) fresh.objects.merge(file.objects);
  std::swap(file, fresh);
  note_findings(path);

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
  note_findings(path);
}

void FileSet::note_findings(const std::string& path) {
  const auto file = files_.find(path);
  if (file == files_.end() || file->second.findings.empty()) {
    flawed_.erase(path);
  } else {
    flawed_.insert(path);
  }
}

void FileSet::remove(const std::string& path) {
  const auto file = files_.find(path);
  if (file == files_.end()) return;
  const auto objects = std::move(file->second.objects);
  files_.erase(file);
  note_findings(path);
  for (const auto& [key, object] : objects) {
    paths_[key].erase(path);
    settle(key);
  }
}

bool FileSet::complete_again(const ObjectKey& key) {
  if (!paths_.contains(key)) return false;
  settle(key);
  return true;
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
  const ObjectPtr& object = files_.at(*standing->second.begin()).objects.at(key);
  const auto* pod = std::get_if<std::shared_ptr<const Pod>>(&object);
  if (complete_ && pod != nullptr) {
    Pod completed = **pod;
    complete_(completed);
    objects_.put(Object(std::move(completed)));
  } else {
    objects_.put(object);
  }
}

Findings FileSet::findings() const {
  Findings all;
  for (const std::string& path : flawed_) {
    const Findings& findings = files_.at(path).findings;
    all.insert(all.end(), findings.begin(), findings.end());
  }
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
