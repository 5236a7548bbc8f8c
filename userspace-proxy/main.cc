// leat-proxy: the node's data path. See supervisor.h for the parent process and worker_process.h for the one that
// serves.
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <charconv>

#include <CLI/CLI.hpp>

#include "common/log.h"
#include "userspace-proxy/confine.h"
#include "userspace-proxy/supervisor.h"

namespace leat::proxy {
namespace {

struct User {
  uid_t uid;
  gid_t gid;
};

// A name, or a number, which is then the group's too.
Result<User> find_user(const std::string& text) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) return User{number, number};
  const passwd* entry = getpwnam(text.c_str());
  if (!entry) return fail(ErrorCode::kNotFound, "--user {}: there is no such user", text);
  return User{entry->pw_uid, entry->pw_gid};
}

// Both processes run as this user: the supervisor needs no privilege either. The descriptor limit is raised while that
// is allowed.
Result<void> become(const std::string& name) {
  LEAT_TRY(const User user, find_user(name));
  LEAT_TRY_VOID(raise_descriptor_limit());
  if (setgroups(0, nullptr) < 0 || setresgid(user.gid, user.gid, user.gid) < 0 ||
      setresuid(user.uid, user.uid, user.uid) < 0) {
    return fail_errno(errno, "becoming user {} (group {})", user.uid, user.gid);
  }
  return {};
}

int run(int argc, char** argv) {
  ProxyOptions options;
  std::string backend = "auto";
  std::string user;
  std::string metrics;
  std::string level = "info";
  CLI::App app("leat-proxy carries the connections of this node's mesh");
  app.add_option("--agent", options.agent, "the agent's socket, STATE/proxy.sock")->required();
  app.add_option("--workers", options.workers, "worker threads")
      ->check(CLI::Range(1u, static_cast<unsigned>(limits::kMaxWorkers)))
      ->capture_default_str();
  app.add_option("--backend", backend, "auto: io_uring where the node allows it, else epoll")
      ->check(CLI::IsMember({"auto", "io_uring", "epoll"}))
      ->capture_default_str();
  app.add_option("--metrics", metrics,
                 "where metrics and health are served over HTTP, ADDRESS:PORT; nowhere if not given");
  app.add_option("--user", user, "user to become when started as root: a name or a number");
  app.add_flag("--allow-unconfined", options.allow_unconfined, "serve even with privileges that a proxy must not have");
  app.add_option("--log", level, "debug, info, warn or error")->capture_default_str();
  app.set_version_flag("--version", LEAT_VERSION);
  CLI11_PARSE(app, argc, argv);

  log::init("leat-proxy", level);
  if (backend != "auto") options.backend = backend == "epoll" ? ring::BackendKind::kEpoll : ring::BackendKind::kIoUring;
  if (!metrics.empty()) {
    options.metrics = SocketAddress::parse(metrics);
    if (!options.metrics) {
      log::error("--metrics {}: not an address and port; write 127.0.0.1:15020, 0.0.0.0:15020 or [::]:15020", metrics);
      return kExitCannotServe;
    }
  }
  if (!user.empty() && getuid() == 0) {
    if (const Result<void> became = become(user); !became) {
      log::error("{}", became.error().message);
      return kExitCannotServe;
    }
  }
  return supervise(options);
}

}  // namespace
}  // namespace leat::proxy

int main(int argc, char** argv) { return leat::proxy::run(argc, argv); }
