#include "agent/sources/kubernetes/kubernetes_source.h"

#include <algorithm>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "agent/sources/kubernetes/api_json.h"
#include "agent/sources/kubernetes/limits.h"
#include "common/check.h"
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
constexpr milliseconds kCatchUp{200};  // a watch that goes on begins with what was missed
constexpr seconds kWaitForStep{10};    // a kind that stays away longer, alone, is nobody's hindrance
constexpr milliseconds kLookForStep{20};
constexpr seconds kWaitForServer{3};   // then an agent that starts goes by what the one before it knew
constexpr seconds kWatchGrace{15};     // a watch that the server has not ended by then is dead
constexpr seconds kListDeadline{120};  // a page of 500 takes 0.1 s
constexpr seconds kLeaveDeadline{5};
constexpr int kOk = 200, kUnauthorized = 401, kForbidden = 403, kNotFound = 404;

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

std::string time_text(std::chrono::system_clock::time_point time) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

bool needs_netns(const Pod& pod) { return !pod.host_network && !pod.addresses.empty() && pod.phase == "Running"; }

}  // namespace

// ---------------------------------------------------------------- start

Result<std::unique_ptr<KubernetesSource>> KubernetesSource::open(EventLoop& loop, std::string node, ApiServers servers,
                                                                 const Attachments& attachments, LastSeen last_seen,
                                                                 control::Name daemon_set, kubernetes::LeaseName lease,
                                                                 FindNetns find_netns) {
  LEAT_TRY(auto client, ApiClient::open(loop, std::move(servers)));
  return std::unique_ptr<KubernetesSource>(new KubernetesSource(loop, std::move(node), std::move(client), attachments,
                                                                std::move(last_seen), std::move(daemon_set),
                                                                std::move(lease), std::move(find_netns)));
}

KubernetesSource::KubernetesSource(EventLoop& loop, std::string node, std::unique_ptr<ApiClient> client,
                                   const Attachments& attachments, LastSeen last_seen, control::Name daemon_set,
                                   kubernetes::LeaseName lease, FindNetns find_netns)
    : loop_(loop),
      node_(std::move(node)),
      client_(std::move(client)),
      attachments_(attachments),
      find_netns_(std::move(find_netns)),
      daemon_set_(std::move(daemon_set)),
      last_seen_(std::move(last_seen)),
      cache_([this](control::Object& object) { complete(object); }),
      publisher_(loop_, *client_, [this] { return std::uniform_real_distribution<>()(random_); }),
      teller_(loop_, *client_, node_, std::move(lease),
              {.facts = [this]() -> const auto& { return cache_.facts(); },
               .api_version = [this](std::string_view kind) { return api_version_of(kind); },
               .nodes = [this] { return static_cast<size_t>(std::ranges::distance(objects().all<control::Node>())); },
               .random = [this] { return std::uniform_real_distribution<>()(random_); }}) {
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
  for (const auto& watched : watched_) {
    loop_.cancel(watched->timer);
    loop_.cancel(watched->catch_up_timer);
  }
  for (const auto timer :
       {change_timer_, netns_timer_, failure_timer_, last_seen_timer_, leave_timer_, daemon_set_timer_})
    loop_.cancel(timer);
}

void KubernetesSource::watch(EventLoop&, Changed changed) {
  changed_ = std::move(changed);
  for (const auto& watched : watched_) plan(*watched, watched->informer.start());
  last_seen_timer_ = loop_.after(kWaitForServer, [this] { start_from_last_seen(); });
  look_for_failures();
  teller_.start();
  if (!daemon_set_.name.empty()) look_for_daemon_set();
}

// The server is asked first, and has time to answer: what an agent before this one knew may be long past.
void KubernetesSource::start_from_last_seen() {
  last_seen_timer_ = 0;
  const bool answers = std::ranges::any_of(watched_, [](const auto& watched) {
    return watched->informer.presence() != Informer::Presence::kUnknown || !watched->informer.first_page();
  });
  if (synced_ || answers) return;
  std::vector<std::string_view> kinds;
  for (const auto& watched : watched_) kinds.push_back(watched->resource.reader->kind);
  const auto kept = last_seen_.load(kinds);
  if (!kept) {
    return log::error(
        "the API server does not answer, and what an agent before this one has seen can't be used: {}; "
        "nothing new is captured, and pods that are get no new sockets, until it answers",
        kept.error().message);
  }
  for (const auto& watched : watched_) {
    for (const control::Value& document : kept->objects.at(std::string(watched->resource.reader->kind)))
      cache_.put(*watched->resource.reader, document);
    cache_.begin_list(*watched->resource.reader);  // none of these is of the list that is under way
  }
  heard_ = kept->until;
  synced_ = true;
  log::warn(
      "the API server does not answer: the objects are those that an agent before this one has seen, {} of them, until "
      "{}",
      objects().size(), time_text(heard_));
  tell_soon();
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
  if (!watches && watched.informer.first_page()) {
    cache_.begin_list(*watched.resource.reader);
    last_seen_.begin_list(watched.resource.reader->kind);
  }
  const std::string path = collection_path(watched.versions[watched.version], watched.resource.plural);
  ApiClient::Request request{.path = path + query_of(watched.ask, watched.resource.field_selector),
                             .content_type = {},
                             .body = {},
                             .deadline = watches ? watched.ask.duration + kWatchGrace : kListDeadline,
                             .lines = watches};
  watched.transfer = client_->send(std::move(request),
                                   {.begun = [this, &watched] { catch_up(watched); },
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
    watched.told_to_wait = failure.retry_after.has_value();
    plan(watched, watched.informer.list_failed(now, failure));
    if (watched.informer.presence() != Informer::Presence::kAbsent) return lose_step(watched);
    if (was_absent) return;
    // An end that nothing was put before: the kind is not installed, or not any more.
    const std::string_view kind = watched.resource.reader->kind;
    cache_.begin_list(*watched.resource.reader);
    cache_.end_list(*watched.resource.reader);
    last_seen_.begin_list(kind);
    last_seen_.end_list(kind);
    note_change();
    return regain_step(watched);
  }
  watched.versions_missing = 0;
  bool changed = false;
  const Result<ListPage> page = read_list(answer.body, [&](const control::Value& item) {
    changed |= cache_.put(*watched.resource.reader, item);
    last_seen_.put(watched.resource.reader->kind, item);
  });
  if (changed) note_change();
  if (!page) {
    return plan(watched, watched.informer.list_failed(
                             now, {.status = 0, .reason = {}, .message = page.error().message, .retry_after = {}}));
  }
  if (page->continue_token.empty()) {
    if (watched.informer.presence() == Informer::Presence::kAbsent) ask_for_absent(watched);
    const bool gone = cache_.end_list(*watched.resource.reader);
    last_seen_.end_list(watched.resource.reader->kind);
    if (gone || !synced_) note_change();
    regain_step(watched);
    if (is_route(watched.resource.reader->kind)) teller_.look_soon();
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
    other->ask = other->informer.start();
    ask_again(*other);
  }
}

// What waits is asked at once.
void KubernetesSource::ask_again(Watched& watched) {
  loop_.cancel(watched.timer);
  watched.ask.delay = {};
  plan(watched, std::move(watched.ask));
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
  const control::Reader& reader = *watched.resource.reader;
  if (event->type == WatchEvent::Type::kPut && (changed = cache_.put(reader, event->object)))
    last_seen_.put(reader.kind, event->object);
  if (event->type == WatchEvent::Type::kDeleted && (changed = cache_.remove(reader, event->object)))
    last_seen_.remove(reader.kind, event->object);
  watched.informer.advanced(std::move(event->resource_version));
  if (changed) note_change();
  if (!changed && is_route(reader.kind)) teller_.look_soon();  // its status may be another one
  return true;
}

void KubernetesSource::on_watch_end(Watched& watched, const ApiClient::Answer& answer) {
  const auto now = Clock::now();
  auto error = std::exchange(watched.ended_by, std::nullopt);
  if (!error && answer.error.empty() && answer.status == kOk) return plan(watched, watched.informer.watch_ended(now));
  if (!error) error = failure_of(answer);
  log::debug("the watch of {} ends: {} {}", watched.resource.plural, error->status, error->message);
  watched.told_to_wait = error->retry_after.has_value();
  plan(watched, watched.informer.watch_failed(now, *error));
  lose_step(watched);
}

// ---------------------------------------------------------------- all kinds in step

void KubernetesSource::lose_step(Watched& watched) {
  loop_.cancel(std::exchange(watched.catch_up_timer, 0));
  watched.behind = true;
}

// The watch goes on where it was cut: nothing says when the last of what was missed has come, but it comes at once.
void KubernetesSource::catch_up(Watched& watched) {
  watched.informer.watch_began();
  if (!watched.behind) return;
  loop_.cancel(watched.catch_up_timer);
  watched.catch_up_timer = loop_.after(kCatchUp, [this, &watched] {
    watched.catch_up_timer = 0;
    regain_step(watched);
  });
}

// Where one kind is answered the others are, too: none waits for the end of its own back-off.
void KubernetesSource::regain_step(Watched& watched) {
  if (!std::exchange(watched.behind, false)) return;
  for (const auto& other : watched_) {
    other->waited_for = true;
    const bool waits = other->timer != 0 && other->informer.failing_since() && !other->told_to_wait;
    if (other->behind && waits) ask_again(*other);
  }
  note_heard();
}

// Whether all that the server knows is known here.
void KubernetesSource::note_heard() {
  if (std::ranges::any_of(watched_, [](const auto& watched) { return watched->behind; })) return;
  heard_ = std::chrono::system_clock::now();
  last_seen_.heard();
}

// True: some kind is not there yet. Who reads objects() meanwhile sees part of what came; only changed_ makes them.
bool KubernetesSource::wait_for_step() {
  const bool long_enough = Clock::now() - *seen_ >= kWaitForStep;
  bool wait = false;
  for (const auto& watched : watched_) {
    if (!watched->behind || !watched->waited_for) continue;
    if (long_enough) {
      log::warn("{} can't be read; changes of other kinds count without them from now on", watched->resource.plural);
      watched->waited_for = false;
    }
    wait |= watched->waited_for;
  }
  return wait;
}

// ---------------------------------------------------------------- objects

// A pod's own words about its namespace do not count: the agent enters it as root.
void KubernetesSource::complete(control::Object& object) {
  auto* pod = std::get_if<Pod>(&object);
  if (pod == nullptr) return;
  pod->leaving = leaving_.contains(*pod);
  if (attachments_.complete(*pod)) {
    without_netns_.erase(pod->meta.name);
    return;
  }
  pod->netns_path = needs_netns(*pod) ? find_netns_(*pod, objects()) : "";
  if (!needs_netns(*pod) || !pod->netns_path.empty()) {
    without_netns_.erase(pod->meta.name);
    return;
  }
  without_netns_.insert(pod->meta.name);
  if (netns_timer_ == 0) netns_timer_ = loop_.after(kLookForNetns, [this] { look_for_namespaces(); });
}

void KubernetesSource::attachment_changed(const control::Name& name) {
  const Pod* pod = objects().find<Pod>(name);
  if (pod == nullptr) return;  // it is completed when its object comes
  control::Object again = *pod;
  complete(again);
  cache_.replace(std::move(again));
  tell_soon();  // what this machine says waits for no server
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
    tell_soon();
  }
}

void KubernetesSource::note_change() {
  objects_changed_ = true;
  tell_soon();
}

void KubernetesSource::tell_soon() {
  if (!seen_) seen_ = Clock::now();
  if (change_timer_ == 0) change_timer_ = loop_.after(kSettle, [this] { tell_change(); });
}

void KubernetesSource::tell_change() {
  change_timer_ = 0;
  see_published();
  if (!synced_ && !is_synced()) return;  // the last of the lists brings it here again
  if (!std::exchange(synced_, true)) log::info("the cluster's objects are there: {} of them", objects().size());
  if (objects_changed_ && wait_for_step()) {
    change_timer_ = loop_.after(kLookForStep, [this] { tell_change(); });
    return;
  }
  objects_changed_ = false;
  hold_leaving();
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
  std::vector<const v1::Workload*> stay;
  published_.clear();
  for (const v1::Workload* workload : captured) {
    control::Name name{workload->namespace_(), workload->name()};
    const Pod* pod = objects().find<Pod>(name);
    if (pod != nullptr && pod->leaving) continue;
    stay.push_back(workload);
    published_.insert(std::move(name));
  }
  publisher_.want(to_node_workloads(node_, objects().find<control::Node>({"", node_}), stay));
}

void KubernetesSource::hold_leaving() {
  for (Pod& pod : leaving_.look(published_, objects(), Clock::now())) cache_.replace(std::move(pod));
  if (!leaving_.empty() && leave_timer_ == 0) leave_timer_ = loop_.after(limits::kLookForLeave, [this] { let_go(); });
}

void KubernetesSource::let_go() {
  if (publisher_.settled()) leaving_.told(published_, Clock::now());
  std::vector<Pod> gone = leaving_.let_go(objects(), Clock::now());
  for (Pod& pod : gone) cache_.replace(std::move(pod));
  if (!gone.empty()) tell_soon();
  leave_timer_ = leaving_.empty() ? 0 : loop_.after(limits::kLookForLeave, [this] { let_go(); });
}

void KubernetesSource::see_published() {
  std::set<std::string> names;
  for (const auto& [name, published] : objects().all<control::NodeWorkloads>()) {
    if (published.node == node_) names.insert(name.name);
  }
  publisher_.see(std::move(names));
}

// ---------------------------------------------------------------- what the cluster is told

void KubernetesSource::judged() {
  cache_.judged();
  teller_.look_soon();
}

std::string KubernetesSource::api_version_of(std::string_view kind) const {
  const auto found =
      std::ranges::find_if(watched_, [kind](const auto& one) { return one->resource.reader->kind == kind; });
  LEAT_CHECK(found != watched_.end(), "a kind that is not watched");
  return (*found)->versions[(*found)->version];
}

// ---------------------------------------------------------------- whether to stay

void KubernetesSource::ask_for_daemon_set(std::function<void(int status, bool terminating)> told) {
  client_->send({.path = fmt::format("/apis/apps/v1/namespaces/{}/daemonsets/{}", escape(daemon_set_.ns),
                                     escape(daemon_set_.name)),
                 .content_type = {},
                 .body = {},
                 .deadline = kLeaveDeadline},
                {.begun = {}, .line = {}, .done = [told = std::move(told)](const ApiClient::Answer& answer) {
                   const auto object = answer.status == kOk ? read_document(answer.body) : control::Value{};
                   const control::Value* metadata = object ? object->find("metadata") : nullptr;
                   told(answer.error.empty() ? answer.status : 0,
                        metadata != nullptr && metadata->find("deletionTimestamp") != nullptr);
                 }});
}

// Until it was seen, or the server says that there is none: a node that boots may have no way to the server yet.
void KubernetesSource::look_for_daemon_set() {
  ask_for_daemon_set([this](int status, bool) {
    daemon_set_seen_ = status == kOk;
    if (!daemon_set_seen_ && status != kNotFound)
      daemon_set_timer_ = loop_.after(kLeaveDeadline, [this] { look_for_daemon_set(); });
  });
}

// Helm deletes the DaemonSet first and the agent's grants a moment later; the pods end after both.
void KubernetesSource::ask_whether_to_leave(std::function<void(bool for_good)> answer) {
  if (!daemon_set_seen_) return answer(false);
  ask_for_daemon_set([this, answer = std::move(answer)](int status, bool terminating) {
    const bool gone = status == kNotFound || status == kForbidden || status == kUnauthorized;
    if (!gone && !terminating) return answer(false);
    if (published_.empty()) return answer(true);
    leave_all();
    loop_.after(limits::kLeave, [answer] { answer(true); });
  });
}

// The agents of all nodes are told to end at once, and none may hear of another any more. So each takes it as said that
// no node has a pod in the mesh, dials no tunnel, and takes those of the others for a moment longer.
void KubernetesSource::leave_all() {
  log::info("Leat is being uninstalled: {} pods leave the mesh", published_.size());
  std::vector<control::Name> nodes;
  for (const auto& [name, workloads] : objects().all<control::NodeWorkloads>()) nodes.push_back(name);
  for (const control::Name& name : nodes) cache_.take_out({control::NodeWorkloads::kKind, name});
  leaving_.leave_all();
  tell_soon();
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
  if (!teller_.failures().empty() && failing().empty()) kinds.insert("(telling)");
  note_heard();
  if (std::exchange(told_failing_, kinds) == kinds) return;
  if (synced_) return tell_soon();
  for (const auto& finding : findings()) log::error("waiting for the cluster's objects: {}", finding.message());
}

control::Findings KubernetesSource::findings() const {
  control::Findings all = cache_.findings();
  const auto add = [&all](std::string message) {
    all.push_back(control::make_finding(control::Severity::kError, {}, "Kubernetes API", "", std::move(message)));
  };
  const std::vector<const Watched*> failures = failing();
  // A kind that is not installed is asked for so seldom that it does not know of it.
  const auto installed = std::ranges::count_if(
      watched_, [](const auto& watched) { return watched->informer.presence() != Informer::Presence::kAbsent; });
  const bool none_is_read = !failures.empty() && std::cmp_greater_equal(failures.size(), installed);
  if (none_is_read && heard_ != decltype(heard_){}) {
    add(fmt::format("can't be read: {}; what was seen until {} stays in force",
                    failures.front()->informer.last_failure(), time_text(heard_)));
  } else if (none_is_read) {
    add(fmt::format("can't be read: {}", failures.front()->informer.last_failure()));
  } else {
    for (const Watched* watched : failures) {
      add(fmt::format("{} can't be read: {}; what was seen last stays in force", watched->resource.plural,
                      watched->informer.last_failure()));
    }
  }
  if (!publisher_.failure().empty())
    add(fmt::format("this node's NodeWorkloads can't be written: {}; other nodes do not see changes here",
                    publisher_.failure()));
  for (std::string& failure : none_is_read ? std::vector<std::string>{} : teller_.failures()) {
    all.push_back(control::make_finding(control::Severity::kWarning, {}, "Kubernetes API", "", std::move(failure)));
  }
  control::sort_findings(all);
  return all;
}

}  // namespace leat::sources
