// leat-proxy as it is started: two processes, an agent that accepts and listens to the greeting.
#include <doctest/doctest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "common/message_socket.h"
#include "leat.pb.h"

namespace leat::proxy {
namespace {

bool readable(int fd, int timeout_ms) {
  pollfd watched{fd, POLLIN, 0};
  return poll(&watched, 1, timeout_ms) == 1;
}

class Proxy {
 public:
  explicit Proxy(std::vector<std::string> extra = {}) {
    std::filesystem::create_directory(folder_);
    chmod(folder_.c_str(), 0755);
    listener_ = std::move(*MessageSocket::listen_at(folder_ / "proxy.sock", 0666));
    std::vector<std::string> words{
        LEAT_PROXY_BINARY, "--agent", folder_ / "proxy.sock", "--workers", "2", "--user", "61001", "--log", "warn"};
    words.insert(words.end(), extra.begin(), extra.end());
    pid_ = fork();
    if (pid_ == 0) {
      std::vector<char*> arguments;
      for (std::string& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      execv(arguments[0], arguments.data());
      _exit(127);
    }
  }
  ~Proxy() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }

  // The greeting of the next connection.
  v1::Hello hello() {
    REQUIRE(readable(listener_.get(), 10'000));
    connection_.emplace(UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
    ucred peer{};
    socklen_t size = sizeof peer;
    getsockopt(connection_->fd(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
    peer_ = peer.pid;
    REQUIRE(readable(connection_->fd(), 10'000));
    const auto received = connection_->receive();
    REQUIRE(received.has_value());
    REQUIRE(received->has_value());
    v1::ToAgent message;
    REQUIRE(message.ParseFromString((*received)->bytes));
    REQUIRE(message.has_hello());
    return message.hello();
  }
  void hang_up() { connection_.reset(); }
  bool worker_hangs_up() { return readable(connection_->fd(), 10'000) && !connection_->receive(); }
  int exit_code() {
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] pid_t worker() const { return peer_; }

 private:
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() /
      ("leat-process-test-" + std::to_string(getpid()) + "-" + std::to_string(std::random_device{}()));
  UniqueFd listener_;
  std::optional<MessageSocket> connection_;
  pid_t pid_ = -1;
  pid_t peer_ = -1;
};

std::map<std::string, std::string> status_of(pid_t pid) {
  std::map<std::string, std::string> fields;
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    fields[line.substr(0, colon)] = line.substr(std::min(line.size(), colon + 2));
  }
  return fields;
}

}  // namespace

TEST_CASE("the worker process greets the agent and has no privilege at all") {
  for (const char* backend : {"io_uring", "epoll"}) {
    CAPTURE(backend);
    Proxy proxy({"--backend", backend});
    const v1::Hello hello = proxy.hello();
    CHECK(hello.workers() == 2);
    CHECK(hello.backend() == backend);
    CHECK(hello.pid() == proxy.worker());
    CHECK(hello.lease_epoch() == 0);
    CHECK(hello.instance().size() == 32);
    auto status = status_of(proxy.worker());
    CHECK(status["CapEff"] == "0000000000000000");
    CHECK(status["CapPrm"] == "0000000000000000");
    CHECK(status["NoNewPrivs"] == "1");
    CHECK(status["Seccomp"] == "2");
    CHECK(status["Uid"].substr(0, 2) != "0\t");
    CHECK(status_of(proxy.pid())["Uid"].substr(0, 2) != "0\t");
  }
}

TEST_CASE("a lost connection to the agent is made again by the same instance") {
  Proxy proxy;
  const v1::Hello first = proxy.hello();
  proxy.hang_up();
  const v1::Hello second = proxy.hello();
  CHECK(first.instance() == second.instance());
}

TEST_CASE("a killed worker process is replaced at once by another instance") {
  Proxy proxy;
  const v1::Hello first = proxy.hello();
  kill(proxy.worker(), SIGKILL);
  const v1::Hello second = proxy.hello();
  CHECK(first.instance() != second.instance());
}

TEST_CASE("a worker process that stands still is killed and replaced") {
  Proxy proxy;
  const v1::Hello first = proxy.hello();
  kill(proxy.worker(), SIGSTOP);
  const v1::Hello second = proxy.hello();
  CHECK(first.instance() != second.instance());
}

TEST_CASE("SIGTERM to the supervisor ends both processes with code 0") {
  Proxy proxy;
  proxy.hello();
  const pid_t worker = proxy.worker();
  kill(proxy.pid(), SIGTERM);
  CHECK(proxy.exit_code() == 0);
  CHECK(kill(worker, 0) != 0);
}

TEST_CASE("the worker process does not outlive its supervisor") {
  Proxy proxy;
  proxy.hello();
  kill(proxy.pid(), SIGKILL);
  CHECK(proxy.exit_code() == -SIGKILL);
  CHECK(proxy.worker_hangs_up());
}

}  // namespace leat::proxy
