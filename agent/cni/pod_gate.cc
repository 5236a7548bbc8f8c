#include "agent/cni/pod_gate.h"

#include <fmt/format.h>

#include "common/log.h"
#include "control/enrolment.h"
#include "control/pods.h"

namespace leat::agent {
PodGate::~PodGate() {
  for (const Waiting& waiting : waiting_) loop_.cancel(waiting.timer);
}

PodGate::Verdict PodGate::judge(const Pod& pod) const {
  if (!tools_.objects_are_there())
    return {Standing::kNotYet, "leat-agent has not read the mesh's objects yet (is the API server away?)"};
  const control::ObjectSet& objects = tools_.objects();
  const auto* space = objects.find<control::Namespace>({"", pod.name.ns});
  if (space == nullptr || !control::is_enrolled(*space, objects)) return {Standing::kOutside, ""};
  const auto* object = objects.find<control::Pod>(pod.name);
  const bool is_it = object != nullptr && (pod.uid.empty() || object->meta.uid.empty() || pod.uid == object->meta.uid);
  if (!is_it) return {Standing::kNotYet, "leat-agent has not seen the pod's object yet (is the API server away?)"};
  if (!control::why_outside(*object, objects).empty()) return {Standing::kOutside, ""};
  const control::Enrolment enrolment = control::enrolment_of(*object, objects);
  const std::string uid = control::uid_of(*object);
  if (enrolment.enrolled && tools_.captured_cookie(uid) == pod.cookie) return {Standing::kCaptured, ""};
  const std::string failure = tools_.last_failure(uid);
  return {Standing::kNotYet, failure.empty() ? enrolment.reason : failure};
}

void PodGate::add(Pod pod, std::chrono::milliseconds longest, Answer answer) {
  const Verdict verdict = judge(pod);
  if (verdict.standing != Standing::kNotYet) return answer({});
  const auto waiting = waiting_.insert(waiting_.end(), {.pod = std::move(pod), .answer = std::move(answer)});
  waiting->timer = loop_.after(longest, [this, waiting] { give_up(waiting); });
}

void PodGate::reconsider() {
  for (auto waiting = waiting_.begin(); waiting != waiting_.end();) {
    const auto here = waiting++;
    if (judge(here->pod).standing == Standing::kNotYet) continue;
    const Answer answer = std::move(here->answer);
    loop_.cancel(here->timer);
    waiting_.erase(here);
    answer({});
  }
}

void PodGate::give_up(std::list<Waiting>::iterator waiting) {
  const Verdict verdict = judge(waiting->pod);
  const std::string message = fmt::format(
      "pod {} could not be captured in time: {}. It is held back so that nothing of it is outside the mesh; the "
      "kubelet "
      "tries again by itself",
      waiting->pod.name.text(), verdict.why);
  const Answer answer = std::move(waiting->answer);
  waiting_.erase(waiting);
  if (verdict.standing != Standing::kNotYet) return answer({});
  log::error("{}", message);
  answer({.code = cni::Code::kTryAgainLater, .message = message});
}

cni::Reply PodGate::check(const Pod& pod) const {
  const Verdict verdict = judge(pod);
  if (verdict.standing != Standing::kNotYet) return {};
  return {.code = cni::Code::kNotCaptured,
          .message = fmt::format("pod {} is in the mesh and not captured: {}", pod.name.text(), verdict.why)};
}

}  // namespace leat::agent
