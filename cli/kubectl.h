// kubectl as a child process. It knows kubeconfigs, contexts, plugins that log in, proxies: whoever can `kubectl exec`
// can `kubectl leat`, with the same rights, and no second client has to learn all that.
//
// An exec into a node's proxy pod runs `leat relay` there, which passes requests on to the agent's read-only socket.
// The proxy's pod has no capability; nothing is ever run in the privileged one.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/target.h"
#include "common/result.h"
#include "common/unique_fd.h"

namespace leat::cli {

struct ProxyPod {
  std::string node, name;
  bool operator==(const ProxyPod&) const = default;
};
// `kubectl get pods -o json` -> one running proxy of each node, the ready and newest first; by node. `node`: only this
// one.
Result<std::vector<ProxyPod>> read_proxy_pods(std::string_view json, const std::string& node);
inline constexpr char kProxySelector[] = "app.kubernetes.io/name=leat-proxy";

// What every call of kubectl begins with.
std::vector<std::string> kubectl_words(const ClusterTarget& target);
// Runs it to its end: what it printed, or its last line of complaint.
Result<std::string> run_kubectl(const ClusterTarget& target, const std::vector<std::string>& words);

// A program that is talked with over its standard input and output, in frames: four bytes of length, then so many
// bytes.
class FramedChild {
 public:
  using Deadline = std::chrono::steady_clock::time_point;
  static Result<FramedChild> start(const std::vector<std::string>& words);
  FramedChild(FramedChild&& other) noexcept;
  FramedChild& operator=(FramedChild&&) = delete;
  ~FramedChild();  // its input ends, and so does it

  Result<void> send(std::string_view message);
  Result<std::string> receive(Deadline deadline);

 private:
  FramedChild(pid_t pid, UniqueFd in, UniqueFd out, UniqueFd complaints)
      : pid_(pid), in_(std::move(in)), out_(std::move(out)), complaints_(std::move(complaints)) {}
  Result<void> read_exactly(std::string& into, size_t size, Deadline deadline);
  std::string last_complaint();

  pid_t pid_;
  UniqueFd in_, out_, complaints_;
};

// The other end of it: `answer` makes a message of each that comes on standard input, until that ends.
int relay_frames(const std::function<std::string(const std::string&)>& answer);

inline constexpr size_t kMostFrameBytes = 512u << 20;  // all of a big mesh

}  // namespace leat::cli
