#include "agent/peer_process.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5
#endif
#ifndef PID_FS_MAGIC
#define PID_FS_MAGIC 0x50494446  // Linux 6.9
#endif

namespace leat::agent {
namespace {

UniqueFd open_pidfd(pid_t pid) { return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }

UniqueFd peer_pidfd(int socket, pid_t pid) {
  int fd = -1;
  socklen_t size = sizeof fd;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0) return UniqueFd(fd);
  return pid != 0 ? open_pidfd(pid) : UniqueFd();
}

// Before there was a file system of pidfds, all of them had one inode.
uint64_t inode_of(const UniqueFd& pidfd) {
  struct statfs system{};
  struct stat status{};
  if (!pidfd || fstatfs(pidfd.get(), &system) < 0 || system.f_type != PID_FS_MAGIC) return 0;
  return fstat(pidfd.get(), &status) == 0 ? status.st_ino : 0;
}

}  // namespace

PeerProcess::PeerProcess(pid_t pid, UniqueFd pidfd, uint64_t connection) : pid_(pid), pidfd_(std::move(pidfd)) {
  if (const uint64_t inode = inode_of(pidfd_); inode != 0) {
    key_.inode = inode;
  } else if (pid_ != 0) {
    key_.pid = pid_;
  } else {
    key_.connection = connection;
  }
}

PeerProcess PeerProcess::of(int socket, uint64_t connection) {
  ucred peer{};
  socklen_t size = sizeof peer;
  getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size);
  return {peer.pid, peer_pidfd(socket, peer.pid), connection};
}

std::optional<PeerProcess> PeerProcess::find(pid_t pid, uint64_t inode) {
  if (pid == 0 || inode == 0) return std::nullopt;
  PeerProcess found(pid, open_pidfd(pid), 0);
  if (found.inode() != inode) return std::nullopt;
  return found;
}

Result<void> PeerProcess::kill() const {
  if (!pidfd_) return fail(ErrorCode::kNotFound, "the kernel gives no handle of it");
  if (syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0) < 0)
    return fail_errno(errno, "ending process {}", pid_);
  return {};
}

}  // namespace leat::agent
