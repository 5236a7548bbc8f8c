#include "userspace-proxy/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <seccomp.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/unique_fd.h"

namespace leat {

namespace {

// Served with any argument. Nothing here names a file or makes a descriptor from nothing but a wake-up or an epoll set.
constexpr std::array kAllowed = {
    // connections
    "accept", "accept4", "connect", "bind", "shutdown", "close", "getsockname", "getpeername", "getsockopt",
    "setsockopt", "recvmsg", "recvfrom", "sendmsg", "sendto", "read", "readv", "pread64", "write", "writev", "fcntl",
    "dup",
    // waiting
    "io_uring_enter", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll",
    "eventfd2", "futex", "clock_gettime", "clock_nanosleep", "nanosleep", "gettimeofday", "sched_yield",
    "restart_syscall",
    // memory (mmap and mprotect are below)
    "brk", "munmap", "mremap", "madvise",
    // what a thread does first: one that was made before the filter may begin behind it, and glibc ends a process in
    // which it can't
    "rseq", "set_robust_list",
    // the process itself
    "getrandom", "getpid", "gettid", "getrusage", "getcpu", "sched_getaffinity", "fstat", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "tgkill", "exit", "exit_group"};

struct FilterDeleter {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, FilterDeleter>;

int allow(const Filter& filter, const char* name, std::initializer_list<scmp_arg_cmp> only_if = {}) {
  const int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return 0;  // this library does not know it, so it stays forbidden
  return seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, number, static_cast<unsigned>(only_if.size()),
                                only_if.begin());
}

Result<Filter> make_filter() {
  Filter filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (!filter) return fail(ErrorCode::kSystem, "seccomp_init: out of memory");
  int result = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);  // all threads
  for (const char* name : kAllowed) {
    if (result == 0) result = allow(filter, name);
  }
  // Memory is never executable.
  for (const char* name : {"mmap", "mprotect"}) {
    if (result == 0) result = allow(filter, name, {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)});
  }
  // The way back to the agent after its restart, and no other socket. The type's flags lie above its low four bits.
  if (result == 0) {
    result = allow(filter, "socket", {SCMP_A0(SCMP_CMP_EQ, AF_UNIX), SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_SEQPACKET)});
  }
  if (result != 0) return fail_errno(-result, "making the seccomp filter");
  return filter;
}

// Opened before the filter forbids it; read afterwards.
Result<std::vector<UniqueFd>> open_thread_states() {
  std::vector<UniqueFd> states;
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", error)) {
    UniqueFd state(::open((thread.path() / "status").c_str(), O_RDONLY | O_CLOEXEC));
    if (state) states.push_back(std::move(state));  // else the thread has ended meanwhile
  }
  if (error || states.empty()) return fail_errno(error.value(), "reading /proc/self/task (is /proc mounted?)");
  return states;
}

std::optional<std::string_view> field(std::string_view status, std::string_view name) {
  for (size_t at = 0; at < status.size();) {
    const size_t end = std::min(status.find('\n', at), status.size());
    std::string_view line = status.substr(at, end - at);
    if (line.starts_with(name) && line.substr(name.size()).starts_with(':')) {
      line.remove_prefix(std::min(line.find_first_not_of(" \t", name.size() + 1), line.size()));
      return line;
    }
    at = end + 1;
  }
  return std::nullopt;
}

bool has_root(std::string_view ids) {
  while (!ids.empty()) {
    const size_t end = std::min(ids.find('\t'), ids.size());
    if (ids.substr(0, end) == "0") return true;
    ids.remove_prefix(std::min(end + 1, ids.size()));
  }
  return false;
}

}  // namespace

Result<uint64_t> raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno(errno, "getrlimit(RLIMIT_NOFILE)");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno(errno, "setrlimit(RLIMIT_NOFILE, {})", limit.rlim_max);
  return limit.rlim_cur;
}

Result<void> drop_privileges(uid_t uid, gid_t gid) {
  if (uid == 0) return fail(ErrorCode::kInvalid, "the proxy must not run as root: give it a user of its own (--user)");
  if (::geteuid() == 0) {
    if (::setgroups(0, nullptr) != 0) return fail_errno(errno, "setgroups(none)");
    if (::setresgid(gid, gid, gid) != 0) return fail_errno(errno, "setresgid({})", gid);
    if (::setresuid(uid, uid, uid) != 0) return fail_errno(errno, "setresuid({})", uid);
  } else if (::getuid() != uid || ::getgid() != gid) {
    return fail(ErrorCode::kDenied, "running as user {} group {}, not as root: cannot become user {} group {}",
                ::getuid(), ::getgid(), uid, gid);
  }
  const std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> none(cap_init(), cap_free);
  if (!none || cap_set_proc(none.get()) != 0) return fail_errno(errno, "dropping all capabilities");
  if (cap_reset_ambient() != 0) return fail_errno(errno, "dropping the ambient capabilities");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno(errno, "prctl(PR_SET_NO_NEW_PRIVS)");
  return {};
}

Result<void> seal() {
  LEAT_TRY(const auto states, open_thread_states());
  LEAT_TRY(const auto filter, make_filter());
  if (const int result = seccomp_load(filter.get()); result != 0) {
    return fail_errno(-result,
                      "loading the seccomp filter (needs no_new_privs and a kernel with CONFIG_SECCOMP_FILTER)");
  }
  for (const UniqueFd& state : states) {
    std::array<char, 8192> text;
    const ssize_t size = ::pread(state.get(), text.data(), text.size(), 0);
    if (size < 0 && errno == ESRCH) continue;  // the thread has ended
    if (size < 0) return fail_errno(errno, "reading a thread's status");
    LEAT_TRY_VOID(verify_confined({text.data(), static_cast<size_t>(size)}));
  }
  return {};
}

Result<void> verify_confined(std::string_view status) {
  std::string missing;
  const auto require = [&](bool holds, std::string_view what) {
    if (!holds) missing.append(missing.empty() ? "" : "; ").append(what);
  };
  for (const auto [name, what] : {std::pair{"Uid", "runs as root"}, std::pair{"Gid", "runs with root's group"}}) {
    const auto ids = field(status, name);
    require(ids && !ids->empty() && !has_root(*ids), what);
  }
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
    const auto mask = field(status, set);
    require(mask && !mask->empty() && mask->find_first_not_of('0') == std::string_view::npos,
            fmt::format("has capabilities ({})", set));
  }
  require(field(status, "NoNewPrivs") == "1", "may gain privileges (no_new_privs is not set)");
  require(field(status, "Seccomp") == "2", "has no seccomp filter");
  if (missing.empty()) return {};
  return fail(ErrorCode::kDenied, "this process is not confined: {}", missing);
}

}  // namespace leat
