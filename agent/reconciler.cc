#include "agent/reconciler.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "agent/limits.h"
#include "common/log.h"
#include "control/delta.h"
#include "control/findings.h"

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
      generation_(first_generation()) {}

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
  const control::Update update = compiler_.update(tools_.objects());
  tools_.judged();
  withheld_.insert(update.opened.begin(), update.opened.end());
  local_pods_changed_ |= update.local_pods;
  if (const auto saved = tools_.save_books(); !saved) {
    // An id that a restart would forget could show an application a wrong peer later. The node stays as it is, and the
    // edit is tried again.
    failure_ = saved.error();
    log::error("the edit is not in force: {}", saved.error().message);
    kernel_is_behind_ = proxies_are_behind_ = true;
    changed_ = edit_seen_;
    loop_.cancel(retry_timer_);
    retry_timer_ = loop_.after(limits::kRetryFailedPods, [this] {
      if (changed_ && !in_flight_) start();
    });
    return;
  }
  const bool changed = proxies_are_behind_ || !control::is_empty(update.mesh);
  if (update.local || kernel_is_behind_) plan_ = compiler_.local_plan();
  note_findings(update.findings);

  // In its first turn an agent does not know what the proxies of its former life act on; they keep their last model,
  // whose ids are the same, so that nothing that is captured is let go.
  in_flight_ = true;
  apply(update.aliases, update.removed_aliases);
  if (changed) {
    published_ = std::chrono::system_clock::now();
    tools_.publish(++generation_, std::exchange(proxies_are_behind_, false) ? nullptr : &update.mesh);
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
  if (const Ids opened = std::exchange(withheld_, {}); !opened.empty()) apply(aliases_of(opened), {});
  const auto latency = std::chrono::duration_cast<EditLatency::Duration>(Clock::now() - edit_seen_);
  const bool first = std::exchange(first_, false);
  if (!first) latency_.add(latency);
  // A cluster's endpoints change all the time: `leat check` has how many edits there were, and how fast they were.
  const auto level = first ? log::Level::kInfo : log::Level::kDebug;
  if (!failure_ && log::enabled(level))
    log::write(level, fmt::format("model generation {} is in force after {:.1f} ms: {} workloads, {} services, {} "
                                  "captured pods here",
                                  generation_, static_cast<double>(latency.count()) / 1000, compiler_.workloads(),
                                  compiler_.services(), plan_.pods.size()));
  in_flight_ = false;
  if (changed_) start();
}

Result<void> Reconciler::source_ids_changed() {
  LEAT_TRY_VOID(tools_.save_books());
  return apply({}, {});
}

std::vector<control::PlannedAlias> Reconciler::aliases_of(const Ids& ids) const {
  std::vector<control::PlannedAlias> aliases;
  for (const uint32_t id : ids) {
    if (const auto alias = compiler_.alias(id)) aliases.push_back(*alias);
  }
  return aliases;
}

Result<void> Reconciler::apply(const std::vector<control::PlannedAlias>& changed,
                               const std::vector<uint32_t>& removed) {
  capture::Plan plan = to_capture_plan(plan_, withheld_);
  name_changed_aliases(changed, removed, plan);
  const auto report = tools_.apply(plan);
  kernel_is_behind_ = !report.has_value();
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
      apply({}, {});
      tools_.send_listeners();
    });
  }
  return {};
}

void Reconciler::name_changed_aliases(const std::vector<control::PlannedAlias>& changed,
                                      const std::vector<uint32_t>& removed, capture::Plan& plan) {
  const auto in_model = [this](uint32_t id) { return compiler_.alias(id).has_value(); };
  const auto add_source = [&](uint32_t id) {
    if (!in_model(id)) plan.aliases.push_back({.id = id, .address = sources_.at(id)});
  };
  SourceAliases before;
  const bool sources_changed = sources_version_ != source_ids_.version();
  if (sources_changed) {
    sources_version_ = source_ids_.version();
    before = std::exchange(sources_, source_ids_.leased());
  }
  plan.all_aliases = kernel_is_behind_;
  if (kernel_is_behind_) {
    add_aliases(compiler_.aliases(), withheld_, plan);
    for (const auto& [id, address] : sources_) add_source(id);
    return;
  }
  add_aliases(changed, withheld_, plan);
  for (const uint32_t id : removed) {
    if (sources_.contains(id)) add_source(id);
    if (!sources_.contains(id)) plan.removed_aliases.push_back(id);
  }
  if (!sources_changed) return;
  for (const auto& [id, address] : sources_) {
    if (!before.contains(id)) add_source(id);
  }
  for (const auto& [id, address] : before) {
    if (!sources_.contains(id) && !in_model(id)) plan.removed_aliases.push_back(id);
  }
}

// Each is logged once while it stands.
void Reconciler::note_findings(bool of_objects_changed) {
  std::vector<v1::Finding> of_source = tools_.source_findings();
  const auto same = [](const v1::Finding& left, const v1::Finding& right) {
    return control::text_of(left) == control::text_of(right) && left.severity() == right.severity();
  };
  if (!of_objects_changed && std::ranges::equal(of_source, source_findings_, same)) return;
  source_findings_ = std::move(of_source);
  findings_ = source_findings_;
  findings_.insert(findings_.end(), compiler_.findings().begin(), compiler_.findings().end());
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
  const bool same_failures = std::exchange(pod_failures_, failures) == failures;
  if (!std::exchange(local_pods_changed_, false) && same_failures) return;

  std::map<std::string, PodState> pods;
  for (const control::LocalPod& pod : compiler_.local_pods()) {
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
      tools_.pod_turned(state, known ? before->second.enrolment : "");
    }
    pods.emplace(uid, std::move(state));
  }
  pods_ = std::move(pods);
  tools_.pods_changed();
}

}  // namespace leat::agent
