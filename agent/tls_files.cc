#include "agent/tls_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "agent/limits.h"
#include "common/unique_fd.h"

namespace leat::agent {
namespace {

int64_t stamp_of(const struct stat& found) {
  return found.st_mtim.tv_sec * 1'000'000'000 + found.st_mtim.tv_nsec + static_cast<int64_t>(found.st_ino);
}

bool is_below(const std::filesystem::path& path, const std::filesystem::path& folder) {
  return path.native().starts_with(folder.native() + "/");
}

}  // namespace

// Links are followed first: what counts is where the file is.
TlsFiles::Known TlsFiles::read(const std::string& path) const {
  Known known;
  known.file.meta.name = {"", path};
  const auto refuse = [&](std::string problem) {
    known.file.problem = std::move(problem);
    return known;
  };
  if (folder_.empty()) return refuse("no file is read: set tls_files in the agent's configuration");
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::canonical(folder_, error);
  if (error) return refuse(fmt::format("the folder {} of tls_files: {}", folder_, error.message()));
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  if (error) return refuse(error.message());
  if (!is_below(real, folder)) return refuse(fmt::format("is not below {}, the folder of tls_files", folder_));
  const UniqueFd file(::open(real.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat found{};
  if (!file || ::fstat(file.get(), &found) != 0) return refuse(std::strerror(errno));
  if (!S_ISREG(found.st_mode)) return refuse("is no regular file");
  if (static_cast<size_t>(found.st_size) > limits::kTlsFileBytes)
    return refuse(fmt::format("has more than {} KiB", limits::kTlsFileBytes / 1024));
  std::string content(static_cast<size_t>(found.st_size), '\0');
  const ssize_t got = ::pread(file.get(), content.data(), content.size(), 0);
  if (got <= 0) return refuse(got == 0 ? "is empty" : std::strerror(errno));
  content.resize(static_cast<size_t>(got));
  known.stamp = stamp_of(found);
  known.file.content = std::move(content);
  return known;
}

TlsFiles::Difference TlsFiles::want(const std::set<std::string>& files) {
  Difference difference;
  for (auto known = files_.begin(); known != files_.end();) {
    if (files.contains(known->first)) {
      ++known;
    } else {
      difference.forgotten.push_back(known->first);
      known = files_.erase(known);
    }
  }
  for (const std::string& path : files) {
    if (files_.contains(path)) continue;
    difference.read.push_back(files_.emplace(path, read(path)).first->second.file);
  }
  if (!files_.empty() && timer_ == 0) timer_ = loop_.after(limits::kTlsFileLook, [this] { look(); });
  return difference;
}

void TlsFiles::look() {
  timer_ = 0;
  std::vector<control::TlsFile> changed;
  for (auto& [path, known] : files_) {
    struct stat found{};
    if (known.stamp != 0 && ::stat(path.c_str(), &found) == 0 && stamp_of(found) == known.stamp) continue;
    Known now = read(path);
    const bool same = now.file.content == known.file.content && now.file.problem == known.file.problem;
    // A file that is being replaced holds what it held.
    const bool keeps = now.file.content.empty() && !known.file.content.empty();
    if (!same && !keeps) changed.push_back(now.file);
    if (!keeps) known = std::move(now);
  }
  if (!changed.empty()) changed_(std::move(changed));
  if (!files_.empty()) timer_ = loop_.after(limits::kTlsFileLook, [this] { look(); });
}

}  // namespace leat::agent
