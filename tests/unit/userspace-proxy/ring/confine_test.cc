#include "userspace-proxy/confine.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "ring_testing.h"
#include "userspace-proxy/ring/acceptor.h"
#include "userspace-proxy/ring/relay.h"

namespace leat {
namespace {

using namespace ring;
using namespace ring::testing;

constexpr std::string_view kConfined =
    "Name:\tleat-proxy\nUid:\t61001\t61001\t61001\t61001\nGid:\t61001\t61001\t61001\t61001\nCapInh:"
    "\t0000000000000000\nCapPrm:\t0000000000000000\n"
    "CapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

std::string with(std::string_view from, std::string_view to) {
  std::string status(kConfined);
  status.replace(status.find(from), from.size(), to);
  return status;
}

TEST_CASE("a confined status passes, and each missing part is named") {
  CHECK(verify_confined(kConfined).has_value());
  CHECK(verify_confined(with("61001\t61001\nGid", "0\nGid")).error().message.find("root") != std::string::npos);
  CHECK(
      verify_confined(with("CapEff:\t0000000000000000", "CapEff:\t0000000000001000")).error().message.find("CapEff") !=
      std::string::npos);
  CHECK(verify_confined(with("NoNewPrivs:\t1", "NoNewPrivs:\t0")).error().message.find("no_new_privs") !=
        std::string::npos);
  CHECK(verify_confined(with("Seccomp:\t2", "Seccomp:\t0")).error().message.find("seccomp") != std::string::npos);
  CHECK_FALSE(verify_confined("").has_value());
}

// Each returns what a confined process must not get.
const std::pair<const char*, bool (*)()> kForbidden[] = {
    {"open", [] { return ::open("/proc/self/status", O_RDONLY) >= 0; }},
    {"socket(AF_INET)", [] { return ::socket(AF_INET, SOCK_STREAM, 0) >= 0; }},
    {"socket(AF_UNIX, SOCK_DGRAM)", [] { return ::socket(AF_UNIX, SOCK_DGRAM, 0) >= 0; }},
    {"fork", [] { return ::fork() >= 0; }},
    {"execve", [] { return ::execl("/bin/true", "true", nullptr) == 0 || errno != EPERM; }},
    {"executable memory",
     [] { return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED; }},
    {"io_uring_setup", [] { return ::syscall(SYS_io_uring_setup, 8, nullptr) >= 0 || errno != EPERM; }},
    {"ptrace", [] { return ::syscall(SYS_ptrace, 0, 0, 0, 0) >= 0 || errno != EPERM; }},
    {"bpf", [] { return ::syscall(SYS_bpf, 0, nullptr, 0) >= 0 || errno != EPERM; }},
};

// Threads of this process, all on the one processor that its maker runs on: while that does not rest, they have not
// run.
std::vector<std::thread> make_waiting_threads(std::atomic<int>& ran, int count) {
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(static_cast<size_t>(::sched_getcpu()), &here);
  ::sched_setaffinity(0, sizeof here, &here);
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([&ran] { ++ran; });
  return threads;
}

// A worker's life in a process that confined itself: accept, dial with a socket made before, relay, end. Returns an
// exit code.
int confined_worker(BackendKind kind, const Listener& front, const Listener& back) {
  const uid_t uid = ::getuid() == 0 ? 61001 : ::getuid();
  const gid_t gid = ::getuid() == 0 ? 61001 : ::getgid();
  UniqueFd broker = tcp_socket();
  if (!raise_descriptor_limit() || !drop_privileges(uid, gid)) return 10;
  auto loop = Loop::create({.backend = kind});
  if (!loop) return 11;
  constexpr int kThreads = 32;
  std::atomic<int> ran = 0;
  std::vector<std::thread> threads = make_waiting_threads(ran, kThreads);
  if (const auto sealed = seal(); !sealed) {
    std::fprintf(stderr, "%s\n", sealed.error().message.c_str());
    return 12;
  }
  for (std::thread& thread : threads) thread.join();
  if (ran != kThreads) return 18;
  for (const auto& [name, attempt] : kForbidden) {
    if (attempt()) {
      std::fprintf(stderr, "a confined process got %s\n", name);
      return 13;
    }
  }
  const auto second = Loop::create({.backend = BackendKind::kIoUring});
  if (second || second.error().code != ErrorCode::kDenied ||
      second.error().message.find("seccomp") == std::string::npos)
    return 17;
  if (const UniqueFd agent(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)); !agent) return 14;
  int code = 15;
  Acceptor* acceptor = nullptr;
  Acceptor own(
      **loop, UniqueFd(::dup(front.fd.get())),
      [&](UniqueFd client) {
        start([](Loop& on, UniqueFd in, UniqueFd out, SocketAddress to, int& result, Acceptor& door) -> Task<void> {
          Socket near(on, std::move(in));
          Socket far(on, std::move(out));
          const bool bound = far.bind_source(IpAddress::v4(INADDR_LOOPBACK)).has_value();
          const auto dialled = co_await far.connect(to, on.now() + std::chrono::seconds(5));
          RelayCounters counters;
          const RelayResult relayed = co_await relay(near, far, counters);
          const bool finished =
              relayed.end == RelayResult::End::kFinished && counters.a_to_b == 4 && counters.b_to_a == 4;
          co_await door.disarm();
          result = bound && dialled && finished ? 0 : 16;
          on.stop();
        }(**loop, std::move(client), std::move(broker), back.address, code, *acceptor));
      },
      [](int) {});
  acceptor = &own;
  own.arm();
  (*loop)->run();
  return code;
}

// The sanitizers' own checks make system calls that a sealed process has lost.
#if __has_feature(address_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

TEST_CASE("a confined worker serves, and can do nothing else" * doctest::skip(kSanitized)) {
  BOTH_BACK_ENDS(kind)
  const Listener front;
  const Listener back;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(confined_worker(kind, front, back));
  const UniqueFd client = dial(front.address);
  CHECK(::send(client.get(), "ping", 4, MSG_NOSIGNAL) == 4);
  // The worker dials back; should it fail instead, its exit code tells and nobody waits for ever.
  std::thread server([&] {
    const UniqueFd connection = back.accept();
    char text[4];
    CHECK(::recv(connection.get(), text, 4, MSG_WAITALL) == 4);
    CHECK(::send(connection.get(), "pong", 4, MSG_NOSIGNAL) == 4);
  });
  char text[5];
  ::shutdown(client.get(), SHUT_WR);
  CHECK(::recv(client.get(), text, 5, MSG_WAITALL) == 4);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  if (status != 0) static_cast<void>(dial(back.address));
  server.join();
}

}  // namespace
}  // namespace leat
