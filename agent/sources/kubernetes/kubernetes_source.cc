#include "agent/sources/kubernetes/kubernetes_source.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "agent/sources/kubernetes/api_json.h"
#include "common/log.h"

namespace leat::sources {
namespace {

using control::Pod;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = Backoff::Clock;

constexpr milliseconds kSettle{5};  // events come in packs: a rollout's, a list's
constexpr milliseconds kLookForNetns{250};
constexpr seconds kLookForFailures{2};
constexpr seconds kSilentFailure{5};   // a server that restarts is not worth a word
constexpr seconds kWatchGrace{15};     // a watch that the server has not ended by then is dead
constexpr seconds kListDeadline{120};  // a page of 500 takes 0.1 s
constexpr int kOk = 200, kNotFound = 404;

std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string query_of(const Informer::Ask& ask, const std::string& field_selector) {
  std::string query;
  if (ask.what == Informer::Ask::What::kWatch) {
    query = fmt::format("?watch=1&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={}", ask.duration.count(),
                        escape(ask.resource_version));
  } else {
    query = fmt::format("?limit={}", Informer::kPageSize);
    if (!ask.continue_token.empty()) query += "&continue=" + escape(ask.continue_token);
    if (!ask.resource_version.empty())
      query += "&resourceVersionMatch=NotOlderThan&resourceVersion=" + escape(ask.resource_version);
  }
  if (!field_selector.empty()) query += "&fieldSelector=" + escape(field_selector);
  return query;
}

Informer::Failure failure_of(const ApiClient::Answer& answer) {
  Informer::Failure failure;
  if (answer.error.empty()) {
    failure = read_failure(answer.status, answer.body);
  } else {
    failure.message = answer.error;
  }
  if (answer.retry_after) failure.retry_after = answer.retry_after;
  return failure;
}

bool needs_netns(const Pod& pod) {
  return !pod.host_network && !pod.addresses.empty() && pod.phase == "Running" && !pod.meta.terminating;
}

}  // namespace

// ---------------------------------------------------------------- start

Result<std::unique_ptr<KubernetesSource>> KubernetesSource::open(EventLoop& loop, std::string node, ApiServers servers,
                                                                 FindNetns find_netns) {
  LEAT_TRY(auto client, ApiClient::open(loop, std::move(servers)));
  return std::unique_ptr<KubernetesSource>(
      new KubernetesSource(loop, std::move(node), std::move(client), std::move(find_netns)));
}

KubernetesSource::KubernetesSource(EventLoop& loop, std::string node, std::unique_ptr<ApiClient> client,
                                   FindNetns find_netns)
    : loop_(loop),
      node_(std::move(node)),
      client_(std::move(client)),
      find_netns_(std::move(find_netns)),
      cache_([this](control::Object& object) { complete(object); }),
      publisher_(loop_, *client_, [this] { return std::uniform_real_distribution<>()(random_); }) {
  for (Resource& resource : watched_resources(node_)) {
    auto versions = api_versions(*resource.reader);
    watched_.push_back(std::make_unique<Watched>(
        Watched{.resource = std::move(resource),
                .versions = std::move(versions),
                .informer = Informer([this] { return std::uniform_real_distribution<>()(random_); }),
                .ask = {},
                .ended_by = {}}));
  }
}

KubernetesSource::~KubernetesSource() {
  for (const auto& watched : watched_) loop_.cancel(watched->timer);
  for (const auto timer : {change_timer_, netns_timer_, failure_timer_}) loop_.cancel(timer);
}

void KubernetesSource::watch(EventLoop&, Changed changed) {
  changed_ = std::move(changed);
  for (const auto& watched : watched_) plan(*watched, watched->informer.start());
  look_for_failures();
}

// ---------------------------------------------------------------- one kind: ask, hear, ask again

void KubernetesSource::plan(Watched& watched, Informer::Ask ask) {
  watched.ask = std::move(ask);
  watched.timer = loop_.after(watched.ask.delay, [this, &watched] {
    watched.timer = 0;
    send(watched);
  });
}

void KubernetesSource::send(Watched& watched) {
  const bool watches = watched.ask.what == Informer::Ask::What::kWatch;
  if (!watches && watched.informer.first_page()) cache_.begin_list(*watched.resource.reader);
  const std::string path = collection_path(watched.versions[watched.version], watched.resource.plural);
  ApiClient::Request request{.path = path + query_of(watched.ask, watched.resource.field_selector),
                             .content_type = {},
                             .body = {},
                             .deadline = watches ? watched.ask.duration + kWatchGrace : kListDeadline,
                             .lines = watches};
  watched.transfer = client_->send(std::move(request),
                                   {.begun = [&watched] { watched.informer.watch_began(); },
                                    .line = [this, &watched](std::string_view line) { return on_event(watched, line); },
                                    .done =
                                        [this, &watched, watches](const ApiClient::Answer& answer) {
                                          watched.transfer = 0;
                                          watches ? on_watch_end(watched, answer) : on_list(watched, answer);
                                        }});
}

void KubernetesSource::on_list(Watched& watched, const ApiClient::Answer& answer) {
  const auto now = Clock::now();
  if (!answer.error.empty() || answer.status != kOk) {
    const Informer::Failure failure = failure_of(answer);
    if (failure.status == kNotFound && try_other_version(watched)) return;
    const bool was_absent = watched.informer.presence() == Informer::Presence::kAbsent;
    plan(watched, watched.informer.list_failed(now, failure));
    // An end that nothing was put before: the kind is not installed, or not any more.
    if (!was_absent && watched.informer.presence() == Informer::Presence::kAbsent) {
      cache_.begin_list(*watched.resource.reader);
      cache_.end_list(*watched.resource.reader);
      note_change();
    }
    return;
  }
  watched.versions_missing = 0;
  bool changed = false;
  const Result<ListPage> page = read_list(
      answer.body, [&](const control::Value& item) { changed |= cache_.put(*watched.resource.reader, item); });
  if (changed) note_change();
  if (!page) {
    return plan(watched, watched.informer.list_failed(
                             now, {.status = 0, .reason = {}, .message = page.error().message, .retry_after = {}}));
  }
  if (page->continue_token.empty()) {
    if (watched.informer.presence() == Informer::Presence::kAbsent) ask_for_absent(watched);
    const bool gone = cache_.end_list(*watched.resource.reader);
    if (gone || !synced_) note_change();
    log::debug("{} are listed", watched.resource.plural);
  }
  plan(watched, watched.informer.listed(now, page->resource_version, page->continue_token));
}

// One that was just installed seldom comes alone: routes without the subsets that they lead to would refuse requests.
void KubernetesSource::ask_for_absent(const Watched& installed) {
  log::info("{} are installed now", installed.resource.plural);
  for (const auto& other : watched_) {
    const bool waits = other.get() != &installed && other->timer != 0;
    if (!waits || other->informer.presence() != Informer::Presence::kAbsent) continue;
    loop_.cancel(other->timer);
    plan(*other, other->informer.start());
  }
}

// A kind that this server has in another version only.
bool KubernetesSource::try_other_version(Watched& watched) {
  watched.version = (watched.version + 1) % watched.versions.size();
  if (++watched.versions_missing >= watched.versions.size()) {
    watched.versions_missing = 0;
    return false;
  }
  plan(watched, watched.ask);
  return true;
}

bool KubernetesSource::on_event(Watched& watched, std::string_view line) {
  Result<WatchEvent> event = read_event(line);
  if (!event) {
    watched.ended_by =
        Informer::Failure{.status = 500, .reason = {}, .message = event.error().message, .retry_after = {}};
    return false;
  }
  if (event->type == WatchEvent::Type::kError) {
    watched.ended_by = std::move(event->failure);
    return false;
  }
  bool changed = false;
  if (event->type == WatchEvent::Type::kPut) changed = cache_.put(*watched.resource.reader, event->object);
  if (event->type == WatchEvent::Type::kDeleted) changed = cache_.remove(*watched.resource.reader, event->object);
  watched.informer.advanced(std::move(event->resource_version));
  if (changed) note_change();
  return true;
}

void KubernetesSource::on_watch_end(Watched& watched, const ApiClient::Answer& answer) {
  const auto now = Clock::now();
  const auto error = std::exchange(watched.ended_by, std::nullopt);
  if (error) {
    log::debug("the watch of {} ends: {} {}", watched.resource.plural, error->status, error->message);
    plan(watched, watched.informer.watch_failed(now, *error));
  } else if (answer.error.empty() && answer.status == kOk) {
    plan(watched, watched.informer.watch_ended(now));
  } else {
    plan(watched, watched.informer.watch_failed(now, failure_of(answer)));
  }
}

// ---------------------------------------------------------------- objects

// A pod's own words about its namespace do not count: the agent enters it as root.
void KubernetesSource::complete(control::Object& object) {
  auto* pod = std::get_if<Pod>(&object);
  if (pod == nullptr) return;
  pod->netns_path = needs_netns(*pod) ? find_netns_(*pod, objects()) : "";
  if (!needs_netns(*pod) || !pod->netns_path.empty()) {
    without_netns_.erase(pod->meta.name);
    return;
  }
  without_netns_.insert(pod->meta.name);
  if (netns_timer_ == 0) netns_timer_ = loop_.after(kLookForNetns, [this] { look_for_namespaces(); });
}

void KubernetesSource::look_for_namespaces() {
  netns_timer_ = 0;
  for (const control::Name& name : std::exchange(without_netns_, {})) {
    const Pod* pod = objects().find<Pod>(name);
    if (pod == nullptr) continue;
    control::Object again = *pod;
    complete(again);
    if (std::get<Pod>(again).netns_path.empty()) continue;
    cache_.replace(std::move(again));
    note_change();
  }
}

void KubernetesSource::note_change() {
  if (!seen_) seen_ = Clock::now();
  if (change_timer_ == 0) change_timer_ = loop_.after(kSettle, [this] { tell_change(); });
}

void KubernetesSource::tell_change() {
  change_timer_ = 0;
  see_published();
  if (!synced_ && !is_synced()) return;  // the last of the lists brings it here again
  if (!std::exchange(synced_, true)) log::info("the cluster's objects are there: {} of them", objects().size());
  changed_(*std::exchange(seen_, std::nullopt));
}

bool KubernetesSource::is_synced() const {
  return std::ranges::all_of(watched_, [](const auto& watched) {
    const auto presence = watched->informer.presence();
    return presence == Informer::Presence::kInstalled ||
           (presence == Informer::Presence::kAbsent && watched->resource.may_be_absent);
  });
}

// ---------------------------------------------------------------- what this node tells the others

void KubernetesSource::publish(const std::vector<const v1::Workload*>& captured) {
  publisher_.want(to_node_workloads(node_, objects().find<control::Node>({"", node_}), captured));
}

void KubernetesSource::see_published() {
  std::set<std::string> names;
  for (const auto& [name, published] : objects().all<control::NodeWorkloads>()) {
    if (published.node == node_) names.insert(name.name);
  }
  publisher_.see(std::move(names));
}

// ---------------------------------------------------------------- what fails, and for how long

std::vector<const KubernetesSource::Watched*> KubernetesSource::failing() const {
  std::vector<const Watched*> failing;
  for (const auto& watched : watched_) {
    const auto& since = watched->informer.failing_since();
    if (since && Clock::now() - *since >= kSilentFailure) failing.push_back(watched.get());
  }
  return failing;
}

void KubernetesSource::look_for_failures() {
  failure_timer_ = loop_.after(kLookForFailures, [this] { look_for_failures(); });
  std::set<std::string_view> kinds;
  for (const Watched* watched : failing()) kinds.insert(watched->resource.plural);
  if (!publisher_.failure().empty()) kinds.insert("(publishing)");
  if (std::exchange(told_failing_, kinds) == kinds) return;
  if (synced_) return note_change();
  for (const auto& finding : findings()) log::error("waiting for the cluster's objects: {}", finding.message());
}

control::Findings KubernetesSource::findings() const {
  control::Findings all = cache_.findings();
  const auto add = [&all](std::string message) {
    all.push_back(control::make_finding(control::Severity::kError, {}, "Kubernetes API", "", std::move(message)));
  };
  const std::vector<const Watched*> failures = failing();
  if (failures.size() == watched_.size()) {
    add(fmt::format("can't be read: {}; what was seen last stays in force", failures.front()->informer.last_failure()));
  } else {
    for (const Watched* watched : failures) {
      add(fmt::format("{} can't be read: {}; what was seen last stays in force", watched->resource.plural,
                      watched->informer.last_failure()));
    }
  }
  if (!publisher_.failure().empty())
    add(fmt::format("this node's NodeWorkloads can't be written: {}; other nodes do not see changes here",
                    publisher_.failure()));
  control::sort_findings(all);
  return all;
}

}  // namespace leat::sources
