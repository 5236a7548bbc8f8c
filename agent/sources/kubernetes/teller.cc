#include "agent/sources/kubernetes/teller.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "agent/sources/kubernetes/finding_events.h"
#include "agent/sources/kubernetes/limits.h"

namespace leat::sources {

Teller::Teller(EventLoop& loop, kubernetes::ApiClient& client, const std::string& node, kubernetes::LeaseName lease,
               Tools tools)
    : loop_(loop),
      tools_(std::move(tools)),
      events_(loop, client, node, tools_.random),
      statuses_(loop, client,
                {.leads = [this] { return leads(); },
                 .facts = [this]() -> const auto& { return tools_.facts(); },
                 .statuses = [this]() -> const auto& { return verdict_.route_statuses(); },
                 .group_path = [this](std::string_view kind) { return "/apis/" + tools_.api_version(kind); },
                 .random = tools_.random}) {
  if (lease.ns.empty() || lease.name.empty()) return;
  election_ = std::make_unique<kubernetes::LeaderElection>(
      loop, client,
      kubernetes::LeaderElection::Settings{
          .lease = std::move(lease), .me = node, .follower_pause = [this] { return follower_pause(); }},
      [this] { look_soon(); });
}

Teller::~Teller() { loop_.cancel(timer_); }

void Teller::start() {
  if (election_) election_->start();
}

std::chrono::milliseconds Teller::follower_pause() const {
  const double seconds = std::max(static_cast<double>(limits::kFollowerPause.count()),
                                  static_cast<double>(tools_.nodes()) / limits::kLooksASecond);
  return std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds * (0.75 + tools_.random() / 2)));
}

void Teller::look_soon() {
  if (timer_ != 0 || !verdict_.findings || (!leads() && !tells_findings_)) return;
  timer_ = loop_.after(limits::kStatusPause, [this] {
    timer_ = 0;
    look();
  });
}

void Teller::look() {
  statuses_.look_soon();
  if (!leads()) {
    tells_findings_ = false;
    return events_.stand({});  // another agent says it now
  }
  tells_findings_ = true;
  events_.stand(finding_events(verdict_.findings(), tools_.facts(), tools_.api_version));
}

void Teller::tell(const PodEvent& event) {
  events_.tell({.regarding = {.api_version = "v1",
                              .kind = std::string(control::Pod::kKind),
                              .ns = event.pod.ns,
                              .name = event.pod.name,
                              .uid = event.uid},
                .warning = event.warning,
                .reason = event.reason,
                .action = "Capture",
                .note = event.note.substr(0, limits::kNoteBytes)});
}

std::vector<std::string> Teller::failures() const {
  std::vector<std::string> all;
  if (election_ && !election_->failure().empty())
    all.push_back(
        fmt::format("the Lease by which one agent leads can't be used: {}; this one does not write the status "
                    "of routes",
                    election_->failure()));
  if (!statuses_.failure().empty())
    all.push_back(
        fmt::format("the status of routes can't be written: {}; `leat routes --status` has it", statuses_.failure()));
  if (!events_.failure().empty())
    all.push_back(fmt::format("Events can't be written: {}; the agent's log and `leat check` have what they would say",
                              events_.failure()));
  return all;
}

}  // namespace leat::sources
