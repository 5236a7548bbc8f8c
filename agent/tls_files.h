// Files of certificates and keys that DestinationRules name for TLS to servers outside the mesh: read by the agent, for
// the proxy may open none. Only those of one folder, which the node's administrator chooses: who may write a
// DestinationRule must not read the machine by it. Looked at again every few seconds, since certificates are renewed.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/event_loop.h"
#include "control/objects.h"

namespace leat::agent {

class TlsFiles {
 public:
  using Changed = std::function<void(std::vector<control::TlsFile>)>;

  // `folder` empty: none is read, and each says so.
  TlsFiles(EventLoop& loop, std::string folder, Changed changed)
      : loop_(loop), folder_(std::move(folder)), changed_(std::move(changed)) {}
  ~TlsFiles() { loop_.cancel(timer_); }
  TlsFiles(const TlsFiles&) = delete;
  TlsFiles& operator=(const TlsFiles&) = delete;

  // Reads these from now on and forgets others; returns those that are new, with what they hold, and the forgotten
  // ones. `changed` is called, not from here, with those that hold something else than before.
  struct Difference {
    std::vector<control::TlsFile> read;
    std::vector<std::string> forgotten;
  };
  Difference want(const std::set<std::string>& files);

 private:
  struct Known {
    int64_t stamp = 0;
    control::TlsFile file;
  };
  [[nodiscard]] Known read(const std::string& path) const;
  void look();

  EventLoop& loop_;
  std::string folder_;
  Changed changed_;
  std::map<std::string, Known> files_;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace leat::agent
