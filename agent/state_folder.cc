#include "agent/state_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>

namespace leat::agent {

Result<StateFolder> StateFolder::open(std::string path, const std::function<void()>& waiting) {
  // Others may pass through it to api.sock, and read nothing else here.
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return fail_errno(error.value(), "making the state folder {}", path);
  if (chmod(path.c_str(), 0711) < 0) return fail_errno(errno, "chmod of the state folder {}", path);

  const std::string lock_path = path + "/agent.lock";
  UniqueFd lock(::open(lock_path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  if (!lock) return fail_errno(errno, "opening {}", lock_path);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno != EWOULDBLOCK) return fail_errno(errno, "locking {}", lock_path);
    waiting();
    while (flock(lock.get(), LOCK_EX) < 0) {
      if (errno != EINTR) return fail_errno(errno, "locking {}", lock_path);
    }
  }
  return StateFolder(std::move(path), std::move(lock));
}

Result<std::optional<std::string>> StateFolder::read(const std::string& file) const {
  const std::string full = path_ + "/" + file;
  const UniqueFd fd(::open(full.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd) return fail_errno(errno, "opening {}", full);
  std::string text;
  for (;;) {
    char part[16384];
    const ssize_t size = ::read(fd.get(), part, sizeof part);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail_errno(errno, "reading {}", full);
    if (size == 0) return text;
    text.append(part, static_cast<size_t>(size));
  }
}

Result<void> StateFolder::write(const std::string& file, std::string_view text) const {
  const std::string full = path_ + "/" + file;
  const std::string fresh = full + ".new";
  const UniqueFd fd(::open(fresh.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(errno, "opening {}", fresh);
  while (!text.empty()) {
    const ssize_t size = ::write(fd.get(), text.data(), text.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail_errno(errno, "writing {}", fresh);
    text.remove_prefix(static_cast<size_t>(size));
  }
  if (fdatasync(fd.get()) < 0) return fail_errno(errno, "writing {} to the disk", fresh);
  if (rename(fresh.c_str(), full.c_str()) < 0) return fail_errno(errno, "renaming {} to {}", fresh, full);
  return {};
}

}  // namespace leat::agent
