#include "agent/peer_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>

#include <fmt/format.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5
#endif
#ifndef PID_FS_MAGIC
#define PID_FS_MAGIC 0x50494446  // Linux 6.9
#endif

namespace leat::agent {
namespace {

UniqueFd open_pidfd(pid_t pid) { return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }

bool is_closed(int socket) {
  pollfd state{.fd = socket, .events = 0, .revents = 0};
  return poll(&state, 1, 0) != 0;  // POLLHUP and POLLERR come unasked
}

UniqueFd peer_pidfd(int socket, pid_t pid) {
  int fd = -1;
  socklen_t size = sizeof fd;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0) return UniqueFd(fd);
  if (pid == 0) return {};
  UniqueFd pidfd = open_pidfd(pid);
  if (is_closed(socket)) return {};  // it may have ended, and its number be another's
  return pidfd;
}

std::string first_bytes_of(const std::string& file) {
  std::string text(1024, '\0');
  const UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t size = fd ? read(fd.get(), text.data(), text.size()) : 0;
  text.resize(size > 0 ? static_cast<size_t>(size) : 0);
  return text;
}

// When the process was started, in ticks since the machine was; 0 if /proc does not say. It is asked for the number
// that the process has there, which need not be the one that it has here.
uint64_t start_time_of(int pidfd) {
  const std::string info = first_bytes_of(fmt::format("/proc/self/fdinfo/{}", pidfd));
  constexpr std::string_view kNumber = "\nPid:";
  const size_t number = info.find(kNumber);
  int pid = 0;
  if (number == std::string::npos || std::sscanf(info.c_str() + number + kNumber.size(), "%d", &pid) != 1 || pid <= 0)
    return 0;
  const std::string stat = first_bytes_of(fmt::format("/proc/{}/stat", pid));
  const size_t name_end = stat.rfind(')');  // the name may have spaces and brackets of its own
  if (name_end == std::string::npos) return 0;
  unsigned long long start = 0;
  const bool found =
      std::sscanf(stat.c_str() + name_end + 1,
                  " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &start) == 1;
  // If it still has its number now, that is whom /proc spoke of.
  return found && syscall(SYS_pidfd_send_signal, pidfd, 0, nullptr, 0) == 0 ? start : 0;
}

// The inode of its pidfd is never used twice while the machine is up, where pidfds have a file system of their own.
// Before, all of them had one inode; but no number is used twice within one tick.
uint64_t birth_of(const UniqueFd& pidfd) {
  struct statfs system{};
  struct stat status{};
  if (!pidfd || fstatfs(pidfd.get(), &system) < 0) return 0;
  if (system.f_type != PID_FS_MAGIC) return start_time_of(pidfd.get());
  return fstat(pidfd.get(), &status) == 0 ? status.st_ino : 0;
}

}  // namespace

PeerProcess::PeerProcess(pid_t pid, UniqueFd pidfd, uint64_t connection)
    : pidfd_(std::move(pidfd)), key_{.birth = birth_of(pidfd_), .pid = pid, .connection = 0} {
  if (key_.birth == 0 && pid == 0) key_.connection = connection;
}

PeerProcess PeerProcess::of(int socket, uint64_t connection) {
  ucred peer{};
  socklen_t size = sizeof peer;
  getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size);
  return {peer.pid, peer_pidfd(socket, peer.pid), connection};
}

std::optional<PeerProcess> PeerProcess::find(pid_t pid, uint64_t birth) {
  if (pid == 0 || birth == 0) return std::nullopt;
  PeerProcess found(pid, open_pidfd(pid), 0);
  if (found.birth() != birth) return std::nullopt;
  return found;
}

Result<void> PeerProcess::kill() const {
  if (!pidfd_) return fail(ErrorCode::kNotFound, "the kernel gives no handle of it");
  if (syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0) < 0)
    return fail_errno(errno, "ending process {}", pid());
  return {};
}

std::string boot_id() {
  std::string id = first_bytes_of("/proc/sys/kernel/random/boot_id");
  while (id.ends_with('\n')) id.pop_back();
  return id;
}

}  // namespace leat::agent
