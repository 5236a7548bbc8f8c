// Holds new pods back until they are captured: an ADD is answered when the kernel has the pod's namespace under its
// policy, so that its first connect() is the mesh's and its first peer meets STRICT.
//
// Identity and policy are in the pod's object (service account, labels), never in what the runtime says. The kubelet
// has the object from the same API server, at the same time; where it has not come here yet it is waited for. A pod
// whose object does not come is held back, not captured as nobody.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <string>

#include "common/cni_message.h"
#include "common/event_loop.h"
#include "control/objects.h"

namespace leat::agent {

class PodGate {
 public:
  struct Tools {
    std::function<const control::ObjectSet&()> objects;
    std::function<bool()> objects_are_there;                          // all of them have been read once
    std::function<uint64_t(const std::string& uid)> captured_cookie;  // of the namespace captured for it; 0: none
    std::function<std::string(const std::string& uid)> last_failure;  // why it is not captured; empty: not known
  };
  struct Pod {
    control::Name name;
    std::string uid;      // as the runtime says it; may be empty
    uint64_t cookie = 0;  // of its network namespace
  };
  using Answer = std::function<void(const cni::Reply&)>;

  PodGate(EventLoop& loop, Tools tools) : loop_(loop), tools_(std::move(tools)) {}
  ~PodGate();

  // Answers at once if the pod is captured or not of the mesh, else when it is, at the latest after `longest`.
  void add(Pod pod, std::chrono::milliseconds longest, Answer answer);
  [[nodiscard]] cni::Reply check(const Pod& pod) const;
  // Objects, or what is captured, have changed.
  void reconsider();
  [[nodiscard]] size_t waiting() const { return waiting_.size(); }

 private:
  enum class Standing : uint8_t { kOutside, kCaptured, kNotYet };
  struct Verdict {
    Standing standing;
    std::string why;  // not yet
  };
  struct Waiting {
    Pod pod;
    Answer answer;
    EventLoop::TimerId timer = 0;
  };

  [[nodiscard]] Verdict judge(const Pod& pod) const;
  void give_up(std::list<Waiting>::iterator waiting);

  EventLoop& loop_;
  Tools tools_;
  std::list<Waiting> waiting_;
};

}  // namespace leat::agent
