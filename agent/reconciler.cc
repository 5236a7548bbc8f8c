#include "agent/reconciler.h"

#include <algorithm>
#include <utility>

#include "agent/limits.h"
#include "common/log.h"
#include "control/findings.h"
#include "control/settings.h"

namespace leat::agent {
namespace {

// Generations rise over restarts of the agent too, so that an old life's can't be mistaken for this one's.
uint64_t first_generation() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()) << 12;
}

}  // namespace

Reconciler::Reconciler(EventLoop& loop, std::string node, control::Books& books, SourceIds& source_ids, Tools tools)
    : loop_(loop),
      source_ids_(source_ids),
      tools_(std::move(tools)),
      compiler_(std::move(node), books),
      generation_(first_generation()) {
  // Until there are objects, what they would leave out holds: a time of zero would be no time at all.
  *mesh_.mutable_settings() = control::default_settings();
}

Reconciler::~Reconciler() {
  loop_.cancel(ack_timer_);
  loop_.cancel(retry_timer_);
}

void Reconciler::objects_changed(Clock::time_point seen) {
  if (!changed_) changed_ = seen;
  if (!in_flight_) start();
}

void Reconciler::start() {
  edit_seen_ = *std::exchange(changed_, std::nullopt);
  control::CompiledMesh compiled = compiler_.compile(tools_.objects());
  if (const auto saved = tools_.save_books(); !saved) {
    // An id that a restart would forget could show an application a wrong peer later. The node stays as it is, and the
    // edit is tried again.
    failure_ = saved.error();
    log::error("the edit is not in force: {}", saved.error().message);
    changed_ = edit_seen_;
    loop_.cancel(retry_timer_);
    retry_timer_ = loop_.after(limits::kRetryFailedPods, [this] {
      if (changed_ && !in_flight_) start();
    });
    return;
  }
  const v1::MeshChange change = control::diff(mesh_, compiled.mesh);
  const bool changed = first_ || !control::is_empty(change);
  if (changed) mesh_ = std::move(compiled.mesh);
  plan_ = std::move(compiled.plan);
  local_pods_ = std::move(compiled.local_pods);
  route_statuses_ = std::move(compiled.route_statuses);
  note_findings(compiled.findings);

  // In its first turn an agent does not know what the proxies of its former life act on; they keep their last model,
  // whose ids are the same, so that nothing that is captured is let go.
  in_flight_ = true;
  apply(first_ ? nullptr : &known_);
  if (changed) {
    published_ = std::chrono::system_clock::now();
    tools_.publish(++generation_, change);
  }
  tools_.send_listeners();
  if (!changed || !tools_.proxy_armed()) return finish();
  ack_timer_ = loop_.after(limits::kModelAckDeadline, [this] {
    log::warn("the proxy has not acknowledged model generation {} within {} ms", generation_,
              limits::kModelAckDeadline.count());
    finish();
  });
}

void Reconciler::acknowledged(uint64_t generation) {
  if (in_flight_ && generation >= generation_) finish();
}

void Reconciler::finish() {
  loop_.cancel(std::exchange(ack_timer_, 0));
  std::set<uint32_t> wanted = proxy_ids(plan_);
  const bool withheld = !std::ranges::includes(known_, wanted);
  known_ = std::move(wanted);
  if (withheld) apply(&known_);
  const auto latency = std::chrono::duration_cast<EditLatency::Duration>(Clock::now() - edit_seen_);
  if (!std::exchange(first_, false)) latency_.add(latency);
  if (!failure_)
    log::info("model generation {} is in force after {:.1f} ms: {} workloads, {} services, {} captured pods here",
              generation_, static_cast<double>(latency.count()) / 1000, mesh_.workloads_size(), mesh_.services_size(),
              plan_.pods.size());
  in_flight_ = false;
  if (changed_) start();
}

Result<void> Reconciler::source_ids_changed() {
  LEAT_TRY_VOID(tools_.save_books());
  return apply(&known_);
}

Result<void> Reconciler::apply(const std::set<uint32_t>* known) {
  const auto report = tools_.apply(to_capture_plan(plan_, source_ids_.leased(), known));
  if (!report) {
    failure_ = report.error();
    log::error("the kernel does not take the plan: {}", report.error().message);
    return std::unexpected(report.error());
  }
  failure_.reset();
  notes_ = report->notes;
  note_pods(*report);
  loop_.cancel(std::exchange(retry_timer_, 0));
  if (!report->failed_pods.empty()) {
    retry_timer_ = loop_.after(limits::kRetryFailedPods, [this] {
      retry_timer_ = 0;
      apply(&known_);
      tools_.send_listeners();
    });
  }
  return {};
}

// Each is logged once while it stands.
void Reconciler::note_findings(const std::vector<v1::Finding>& of_objects) {
  findings_ = tools_.source_findings();
  findings_.insert(findings_.end(), of_objects.begin(), of_objects.end());
  std::set<std::string> standing;
  for (const v1::Finding& finding : findings_) {
    const std::string text = control::text_of(finding);
    if (!standing.insert(text).second || logged_.contains(text)) continue;
    if (finding.severity() == "error") {
      log::error("{}", text);
    } else {
      log::warn("{}", text);
    }
  }
  logged_ = std::move(standing);
}

void Reconciler::note_pods(const capture::Report& report) {
  std::map<std::string, std::string> failures;
  for (const capture::PodFailure& failure : report.failed_pods) failures.emplace(failure.uid, failure.error.message);

  std::map<std::string, PodState> pods;
  for (const control::LocalPod& pod : local_pods_) {
    const std::string& uid = pod.workload.uid();
    PodState state{.pod = pod, .enrolment = pod.enrolled ? "enrolled" : "not enrolled", .reason = pod.reason};
    const auto before = pods_.find(uid);
    const bool known = before != pods_.end();
    if (const auto failed = failures.find(uid); failed != failures.end()) {
      state.enrolment = "failed";
      state.reason = failed->second;
    } else if (!pod.enrolled && known && before->second.enrolment != "not enrolled") {
      state.enrolment = "released";  // it was in the mesh: older connections go on as they were
    }
    const bool same = known && before->second.enrolment == state.enrolment;
    state.since = same ? before->second.since : std::chrono::system_clock::now();
    if (!same || before->second.reason != state.reason) {
      const std::string name = pod.workload.namespace_() + "/" + pod.workload.name();
      if (state.enrolment == "failed") {
        log::error("pod {} is not captured: {}", name, state.reason);
      } else {
        log::info("pod {} is {}: {}", name, state.enrolment, state.reason);
      }
    }
    pods.emplace(uid, std::move(state));
  }
  pods_ = std::move(pods);
  tools_.pods_changed();
}

}  // namespace leat::agent
