#include "cli/kubectl.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "cli/object_json.h"

extern char** environ;

namespace leat::cli {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kRunDeadline{30};

struct Pipe {
  UniqueFd read, write;
};
Result<Pipe> make_pipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return fail_errno(errno, "making a pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// A child with these as its standard files; `in` -1: it reads nothing.
Result<pid_t> spawn(std::vector<std::string> words, int in, int out, int complaints) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (in < 0) {
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  } else {
    posix_spawn_file_actions_adddup2(&actions, in, 0);
  }
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, complaints, 2);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, words[0].c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail_errno(error, "running {}", words[0]);
  return pid;
}

// Bytes of a pipe that has an end; false: not in time.
bool wait_readable(int fd, Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  pollfd ready{fd, POLLIN, 0};
  return left > 0 && ::poll(&ready, 1, static_cast<int>(left)) > 0;
}

// The last line, without its end: what kubectl means.
std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

Result<std::vector<ProxyPod>> read_proxy_pods(std::string_view text, const std::string& node) {
  const json list = json::parse(text, nullptr, false);
  if (!list.is_object() || !list.contains("items") || !list["items"].is_array())
    return fail(ErrorCode::kProtocol, "kubectl printed no list of pods");
  struct Candidate {
    std::pair<bool, std::string> rank;  // ready, then since when
    ProxyPod pod;
  };
  std::map<std::string, Candidate> best;
  for (const json& pod : list["items"]) {
    if (!pod.is_object() || text_at(pod, "/status/phase") != "Running") continue;
    Candidate candidate{.rank = {is_ready(pod), text_at(pod, "/metadata/creationTimestamp")},
                        .pod = {.node = text_at(pod, "/spec/nodeName"), .name = text_at(pod, "/metadata/name")}};
    if (candidate.pod.name.empty() || (!node.empty() && candidate.pod.node != node)) continue;
    const auto [found, fresh] = best.try_emplace(candidate.pod.node, candidate);
    if (!fresh && found->second.rank < candidate.rank) found->second = std::move(candidate);
  }
  std::vector<ProxyPod> pods;
  for (auto& [name, candidate] : best) pods.push_back(std::move(candidate.pod));
  return pods;
}

std::vector<std::string> kubectl_words(const ClusterTarget& target) {
  std::vector<std::string> words{target.kubectl};
  if (!target.kubeconfig.empty()) words.push_back("--kubeconfig=" + target.kubeconfig);
  if (!target.context.empty()) words.push_back("--context=" + target.context);
  return words;
}

Result<std::string> run_kubectl(const ClusterTarget& target, const std::vector<std::string>& words) {
  std::vector<std::string> all = kubectl_words(target);
  all.insert(all.end(), words.begin(), words.end());
  LEAT_TRY(Pipe out, make_pipe());
  LEAT_TRY(Pipe complaints, make_pipe());
  LEAT_TRY(const pid_t pid, spawn(all, -1, out.write.get(), complaints.write.get()));
  out.write.reset();
  complaints.write.reset();
  std::string printed, complained;
  const auto deadline = Clock::now() + kRunDeadline;
  std::array<pollfd, 2> ready{pollfd{out.read.get(), POLLIN, 0}, pollfd{complaints.read.get(), POLLIN, 0}};
  bool in_time = true;
  while (in_time && (ready[0].fd >= 0 || ready[1].fd >= 0)) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    in_time = left > 0 && ::poll(ready.data(), ready.size(), static_cast<int>(left)) > 0;
    for (pollfd& one : ready) {
      if (one.fd < 0 || one.revents == 0) continue;
      std::array<char, 65536> piece;
      const ssize_t size = ::read(one.fd, piece.data(), piece.size());
      if (size > 0) (one.fd == out.read.get() ? printed : complained).append(piece.data(), static_cast<size_t>(size));
      if (size <= 0) one.fd = -1;
    }
  }
  if (!in_time) ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (!in_time) return fail(ErrorCode::kTimeout, "{} did not end within {} s", all[0], kRunDeadline.count());
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return fail(ErrorCode::kRefused, "{}: {}", all[0], last_line(std::move(complained)));
  return printed;
}

// ---------------------------------------------------------------- a child that is talked with

Result<FramedChild> FramedChild::start(const std::vector<std::string>& words) {
  LEAT_TRY(Pipe in, make_pipe());
  LEAT_TRY(Pipe out, make_pipe());
  LEAT_TRY(Pipe complaints, make_pipe());
  ::signal(SIGPIPE, SIG_IGN);  // a child that is gone is an error of write()
  LEAT_TRY(const pid_t pid, spawn(words, in.read.get(), out.write.get(), complaints.write.get()));
  return FramedChild(pid, std::move(in.write), std::move(out.read), std::move(complaints.read));
}

FramedChild::FramedChild(FramedChild&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      in_(std::move(other.in_)),
      out_(std::move(other.out_)),
      complaints_(std::move(other.complaints_)) {}

FramedChild::~FramedChild() {
  if (pid_ == 0) return;
  in_.reset();
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
}

Result<void> FramedChild::send(std::string_view message) {
  std::string frame;
  for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>((message.size() >> shift) & 0xff);
  frame += message;
  for (size_t at = 0; at < frame.size();) {
    const ssize_t size = ::write(in_.get(), frame.data() + at, frame.size() - at);
    if (size < 0) return fail(ErrorCode::kReset, "kubectl exec ended: {}", last_complaint());
    at += static_cast<size_t>(size);
  }
  return {};
}

Result<std::string> FramedChild::receive(Deadline deadline) {
  std::string head, message;
  LEAT_TRY_VOID(read_exactly(head, 4, deadline));
  size_t size = 0;
  for (const char byte : head) size = size << 8 | static_cast<unsigned char>(byte);
  if (size > kMostFrameBytes)
    return fail(ErrorCode::kProtocol, "what came is no answer: is `leat` of this version there?");
  LEAT_TRY_VOID(read_exactly(message, size, deadline));
  return message;
}

Result<void> FramedChild::read_exactly(std::string& into, size_t size, Deadline deadline) {
  std::array<char, 65536> piece;
  while (into.size() < size) {
    if (!wait_readable(out_.get(), deadline)) return fail(ErrorCode::kTimeout, "it did not answer in time");
    const ssize_t got = ::read(out_.get(), piece.data(), std::min(piece.size(), size - into.size()));
    if (got <= 0) return fail(ErrorCode::kReset, "kubectl exec ended: {}", last_complaint());
    into.append(piece.data(), static_cast<size_t>(got));
  }
  return {};
}

std::string FramedChild::last_complaint() {
  std::string text;
  std::array<char, 4096> piece;
  while (text.size() < 65536 && wait_readable(complaints_.get(), Clock::now() + std::chrono::seconds(1))) {
    const ssize_t size = ::read(complaints_.get(), piece.data(), piece.size());
    if (size <= 0) break;
    text.append(piece.data(), static_cast<size_t>(size));
  }
  text = last_line(std::move(text));
  return text.empty() ? "it gave no reason" : text;
}

// ---------------------------------------------------------------- the far end

namespace {

bool read_all(char* into, size_t size) {
  while (size > 0) {
    const ssize_t got = ::read(STDIN_FILENO, into, size);
    if (got <= 0) return false;
    into += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

bool write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = ::write(STDOUT_FILENO, text.data(), text.size());
    if (size <= 0) return false;
    text.remove_prefix(static_cast<size_t>(size));
  }
  return true;
}

}  // namespace

int relay_frames(const std::function<std::string(const std::string&)>& answer) {
  constexpr size_t kMostRequestBytes = 64 * 1024;
  for (;;) {
    unsigned char head[4];
    if (!read_all(reinterpret_cast<char*>(head), sizeof head)) return 0;
    size_t size = 0;
    for (const unsigned char byte : head) size = size << 8 | byte;
    if (size > kMostRequestBytes) return 1;
    std::string request(size, '\0');
    if (!read_all(request.data(), size)) return 1;
    const std::string reply = answer(request);
    std::string frame;
    for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>((reply.size() >> shift) & 0xff);
    if (!write_all(frame + reply)) return 1;
  }
}

}  // namespace leat::cli
