// Puts leat-cni on the host and into the network's configuration, and keeps it there: primary plugins rewrite their
// files when they start. Takes it out in the order in which nothing can fail: the entry first, the binary last.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/cni/conflist.h"
#include "agent/config.h"
#include "common/event_loop.h"
#include "common/result.h"
#include "common/unique_fd.h"

namespace leat::agent {

// What is there to do in a folder of CNI configurations, and doing it once.
class ConfFolder {
 public:
  ConfFolder(std::string folder, Cni::Install mode, PluginEntry entry)
      : folder_(std::move(folder)), mode_(mode), entry_(std::move(entry)) {}

  struct Done {
    std::string file;                  // where the entry stands; empty: no network is configured yet
    bool changed = false;              // it did not stand there as it should
    std::vector<std::string> invalid;  // files before it that no runtime can read, and why
  };
  // The first valid network by name gets our entry, in the way that the mode says.
  Result<Done> put_in() const;
  // Every trace of ours goes; what was made of others' files becomes what it was.
  Result<void> take_out() const;

 private:
  struct Network {
    std::string file;  // its name in the folder
    std::string text;
    NetworkFile read;
  };
  Result<std::optional<Network>> first_network(std::vector<std::string>& invalid) const;
  Result<Done> append_to(const Network& network) const;
  Result<Done> own_file(const Network& network) const;
  Result<Done> drop_in_for(const Network& network) const;
  Result<bool> replace(const std::string& file, const std::string& text, const std::string& like) const;
  Result<void> take_out_of(const std::string& file) const;
  Result<void> remove_drop_ins() const;
  Result<void> wake_runtime() const;
  [[nodiscard]] std::string path(const std::string& file) const { return folder_ + "/" + file; }

  std::string folder_;
  Cni::Install mode_;
  PluginEntry entry_;
};

// Copies `binary` to `folder`/leat-cni, whole or not at all. False: it was there.
Result<bool> install_binary(const std::string& binary, const std::string& folder);

class Installer {
 public:
  static Result<std::unique_ptr<Installer>> open(EventLoop& loop, const Cni& config, const std::string& state);
  ~Installer();

  // How it stands, for `leat check`.
  struct Status {
    std::string file;      // with our entry; empty: there is none
    std::string problem;   // empty: well
    uint64_t repairs = 0;  // times that somebody took the entry out
  };
  [[nodiscard]] const Status& status() const { return status_; }

 private:
  Installer(EventLoop& loop, const Cni& config, const std::string& state, UniqueFd events);
  void watch_folder();
  void on_events();
  void look_after(std::chrono::milliseconds delay);
  void look();
  void note(const Result<ConfFolder::Done>& done);
  [[nodiscard]] bool is_fought_over(EventLoop::Clock::time_point now);

  EventLoop& loop_;
  const Cni& config_;
  std::string binary_;
  ConfFolder folder_;
  UniqueFd events_;
  int watch_ = -1;
  EventLoop::TimerId timer_ = 0;
  bool timer_is_soon_ = false;
  bool was_in_ = false;
  std::vector<EventLoop::Clock::time_point> lost_;  // when somebody took the entry out, lately
  std::string told_;
  Status status_;
};

// For `leat uninstall`; needs no agent.
Result<void> take_out_of_conf(const Cni& config);
Result<void> remove_binary(const Cni& config);

}  // namespace leat::agent
