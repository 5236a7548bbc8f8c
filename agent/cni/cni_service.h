// Everything that the agent does for leat-cni, joined: questions to answers, what is remembered, what is installed.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent/cni/enrolled_file.h"
#include "agent/cni/installer.h"
#include "agent/cni/late_pods.h"
#include "agent/cni/pod_gate.h"
#include "agent/cni/server.h"
#include "agent/config.h"
#include "agent/reconciler.h"
#include "agent/sources/attachments.h"
#include "agent/state_folder.h"

namespace leat::agent {

class CniService {
 public:
  struct Tools {
    std::function<const control::ObjectSet&()> objects;
    std::function<void(const control::Name& pod)> attachment_changed;  // the source completes the pod's object anew
    std::function<uint64_t(const std::string& uid)> captured_cookie;
    std::function<const std::map<std::string, Reconciler::PodState>&()> pods;
    std::function<void(const sources::PodEvent& event)> tell;
  };
  struct Numbers {
    uint64_t attachments = 0, waiting = 0, held_back = 0, refused = 0, late_pods = 0;
  };

  // What an agent before this one knew of the node's pods. A damaged file counts as none: running pods are found by
  // their namespaces.
  static sources::Attachments load_attachments(const StateFolder& state);

  // `state` and `attachments` outlive it.
  static Result<std::unique_ptr<CniService>> open(EventLoop& loop, const Config& config, const StateFolder& state,
                                                  sources::Attachments& attachments, Tools tools);
  ~CniService();

  // The kernel has been brought to what the objects say: call it after each such time.
  void pods_changed();
  [[nodiscard]] Numbers numbers() const;
  // Null: others install the plugin, or the objects have not been read yet.
  [[nodiscard]] const Installer* installer() const { return installer_.get(); }

 private:
  CniService(EventLoop& loop, const Config& config, const StateFolder& state, sources::Attachments& attachments,
             Tools tools);

  void on_question(CniQuestion question, CniServer::Answer answer);
  void add(const CniQuestion& question, CniServer::Answer answer);
  void check(const CniQuestion& question, const CniServer::Answer& answer);
  void forget_container(const std::string& container_id);
  void keep_only(const std::vector<cni::ContainerInterface>& valid);
  void look_at_attachments();
  void remove_if(const std::function<bool(const sources::Attachment&)>& gone);
  Result<void> save_attachments();
  void look_for_late_pods();
  void install();

  EventLoop& loop_;
  const Config& config_;
  const StateFolder& state_;
  sources::Attachments& attachments_;
  Tools tools_;
  bool objects_are_there_ = false;
  uint64_t held_back_ = 0;
  PodGate gate_;
  EnrolledFile enrolled_;
  LatePods late_;
  EventLoop::TimerId look_timer_ = 0;
  std::unique_ptr<CniServer> server_;
  std::unique_ptr<Installer> installer_;
};

}  // namespace leat::agent
