#include "agent/cni/netns_entry.h"

#include <sys/stat.h>

#include <filesystem>

#include "agent/capture/netns.h"

namespace leat::agent {
namespace {

bool is_same(const struct stat& namespace_file, const std::string& path) {
  struct stat there{};
  return stat(path.c_str(), &there) == 0 && there.st_ino == namespace_file.st_ino &&
         there.st_dev == namespace_file.st_dev;
}

std::string find_path(const struct stat& file, const std::string& host_path, const std::string& folder) {
  const std::string usual = folder + "/" + std::filesystem::path(host_path).filename().string();
  if (is_same(file, usual)) return usual;
  if (is_same(file, host_path)) return host_path;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (is_same(file, entry.path())) return entry.path();
  }
  return "";
}

}  // namespace

Result<NetnsEntry> find_netns_entry(int netns, const std::string& host_path, const std::string& folder) {
  struct stat file{};
  if (fstat(netns, &file) != 0) return fail_errno(errno, "looking at the network namespace {}", host_path);
  NetnsEntry entry{.path = find_path(file, host_path, folder), .inode = file.st_ino};
  if (entry.path.empty())
    return fail(
        ErrorCode::kNotFound,
        "the network namespace {} is not among those in {}, as leat-agent sees that folder: it must be the host's "
        "/run/netns, mounted with propagation HostToContainer",
        host_path, folder);
  LEAT_TRY(const auto inside, capture::NetnsScope::enter(entry.path));
  LEAT_TRY(entry.cookie, capture::current_netns_cookie());
  return entry;
}

ino_t inode_at(const std::string& path) {
  struct stat file{};
  return stat(path.c_str(), &file) == 0 ? file.st_ino : 0;
}

}  // namespace leat::agent
