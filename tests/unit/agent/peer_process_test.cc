#include "agent/peer_process.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include <doctest/doctest.h>

#include "common/message_socket.h"
#include "temporary_folder.h"

using leat::MessageSocket;
using leat::UniqueFd;
using leat::agent::PeerProcess;
using leat::agent::TemporaryFolder;

namespace {

// Processes that connect to one listening socket, `connections` times each, and stay until they are ended.
class Peers {
 public:
  Peers() : listener_(*MessageSocket::listen_at(path(), 0600)) {}
  ~Peers() {
    for (const pid_t pid : pids) kill(pid, SIGKILL), waitpid(pid, nullptr, 0);
  }
  std::vector<UniqueFd> start(int connections) {
    pids.push_back(fork());
    if (pids.back() == 0) {
      std::vector<UniqueFd> held;
      for (int i = 0; i < connections; ++i) held.push_back(std::move(*MessageSocket::connect_to(path())));
      for (;;) pause();
    }
    std::vector<UniqueFd> accepted;
    while (accepted.size() < static_cast<size_t>(connections)) {
      pollfd waiting{.fd = listener_.get(), .events = POLLIN, .revents = 0};
      REQUIRE(poll(&waiting, 1, 5000) == 1);
      accepted.emplace_back(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      REQUIRE(accepted.back());
    }
    return accepted;
  }
  std::vector<pid_t> pids;

 private:
  std::string path() { return folder_.path + "/socket"; }
  TemporaryFolder folder_;
  UniqueFd listener_;
};

bool ended(const PeerProcess& process) {
  pollfd waiting{.fd = process.exit_fd(), .events = POLLIN, .revents = 0};
  return poll(&waiting, 1, 5000) == 1;
}

// Whether `holds` does in a pid namespace from which nobody outside can be looked up.
bool in_another_pid_namespace(const std::function<bool()>& holds) {
  const pid_t outside = fork();
  if (outside == 0) {
    if (unshare(CLONE_NEWPID) < 0) _exit(2);
    const pid_t inside = fork();
    if (inside == 0) _exit(holds() ? 0 : 1);
    int status = 0;
    waitpid(inside, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 3);
  }
  int status = 0;
  waitpid(outside, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST_CASE("connections of one process have one key, those of two have two") {
  Peers peers;
  const auto first = peers.start(2);
  const auto second = peers.start(1);
  CHECK(PeerProcess::of(first[0].get(), 1).key() == PeerProcess::of(first[1].get(), 2).key());
  CHECK(PeerProcess::of(first[0].get(), 3).key() != PeerProcess::of(second[0].get(), 4).key());
}

TEST_CASE("a process is ended, and its end is seen") {
  Peers peers;
  const auto connection = peers.start(1);
  const PeerProcess process = PeerProcess::of(connection[0].get(), 1);
  CHECK(process.pid() == peers.pids[0]);
  REQUIRE(process.kill());
  CHECK(ended(process));
}

TEST_CASE("a process is found again by its number and birth, and none is by those of another") {
  Peers peers;
  const auto first = peers.start(1);
  const auto second = peers.start(1);
  const PeerProcess process = PeerProcess::of(first[0].get(), 1);
  REQUIRE(process.birth() != 0);
  const auto found = PeerProcess::find(process.pid(), process.birth());
  REQUIRE(found);
  CHECK(found->key() == process.key());
  CHECK_FALSE(PeerProcess::find(PeerProcess::of(second[0].get(), 2).pid(), process.birth()));
  CHECK_FALSE(PeerProcess::find(process.pid(), 0));
  CHECK_FALSE(PeerProcess::find(0, process.birth()));
}

TEST_CASE(
    "two processes of a pid namespace that can't be looked into are not mixed up, and are known to be out of reach" *
    doctest::skip(geteuid() != 0)) {  // only root makes a pid namespace
  Peers peers;
  const auto first = peers.start(2);
  const auto second = peers.start(1);
  CHECK(in_another_pid_namespace([&] {
    const PeerProcess one = PeerProcess::of(first[0].get(), 1), again = PeerProcess::of(first[1].get(), 2),
                      other = PeerProcess::of(second[0].get(), 3);
    const bool known = one.birth() != 0;  // else each connection stands for a process of its own
    return one.pid() == 0 && other.pid() == 0 && one.key() != other.key() && (one.key() == again.key()) == known &&
           !one.kill();
  }));
  CHECK(kill(peers.pids[0], 0) == 0);
}
