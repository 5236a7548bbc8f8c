#include "control/pods.h"

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "control/enrolment.h"
#include "control/field.h"
#include "control/other_meshes.h"
#include "control/runtimes.h"

namespace leat::control {
namespace {

constexpr std::string_view kAnnotationPrefix = "leat.dev/";
constexpr char kNetns[] = "leat.dev/netns";
constexpr char kOutboundPorts[] = "leat.dev/exclude-outbound-ports";
constexpr char kOutboundCidrs[] = "leat.dev/exclude-outbound-cidrs";
constexpr char kInboundPorts[] = "leat.dev/exclude-inbound-ports";
constexpr char kInboundCidrs[] = "leat.dev/exclude-inbound-cidrs";
constexpr std::array<std::string_view, 5> kPodAnnotations = {kNetns, kOutboundPorts, kOutboundCidrs, kInboundPorts,
                                                             kInboundCidrs};

std::string_view value_of(const Labels& labels, const char* name) {
  const auto found = labels.find(name);
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

constexpr size_t kMostAddresses = 32;  // of a pod: Kubernetes has two

bool is_withheld(uint32_t withheld, size_t index) { return index >= kMostAddresses || (withheld >> index & 1) != 0; }

// A person must name the namespace there; where the objects come from a cluster, the agent looks for it.
bool is_from_file(const Pod& pod) { return !pod.meta.source.file.empty(); }

// Of two pods with one address the first in this order keeps it: what another node says yields, then a pod that goes
// away, then the younger one.
bool keeps_address_before(const PodPtr& left, const PodPtr& right) {
  const auto rank = [](const Pod& pod) {
    return std::tie(pod.published, pod.meta.terminating, pod.meta.created, pod.meta.source.file, pod.meta.source.line,
                    pod.meta.name, pod.node, pod.meta.uid);
  };
  return rank(*left) < rank(*right);
}

std::vector<std::string_view> split_list(std::string_view list) {
  std::vector<std::string_view> parts;
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    std::string_view part = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    const size_t first = part.find_first_not_of(' ');
    if (first == std::string_view::npos) continue;
    part.remove_prefix(first);
    part.remove_suffix(part.size() - 1 - part.find_last_not_of(' '));
    parts.push_back(part);
  }
  return parts;
}

template <typename Value>
std::vector<Value> read_list(const Pod& pod, const char* annotation, std::optional<Value> (*parse)(std::string_view),
                             const char* what, Findings& findings) {
  std::vector<Value> values;
  for (const std::string_view part : split_list(value_of(pod.meta.annotations, annotation))) {
    if (const auto value = parse(part)) {
      values.push_back(*value);
    } else {
      findings.push_back(finding_on(Severity::kError, pod, fmt::format("metadata.annotations[{}]", annotation),
                                    fmt::format("'{}' is not {}; it excludes nothing", part, what)));
    }
  }
  std::ranges::sort(values);
  const auto repeated = std::ranges::unique(values);
  values.erase(repeated.begin(), repeated.end());
  return values;
}

}  // namespace

std::string uid_of(const Pod& pod) { return pod.meta.uid.empty() ? pod.meta.name.text() : pod.meta.uid; }

Enrolment enrolment_of(const Pod& pod, const ObjectSet& objects) {
  std::string why = why_outside(pod, objects);
  if (!why.empty() && !pod.leaving) return {false, std::move(why)};
  if (!is_running(pod)) return {false, fmt::format("phase {}", pod.phase)};
  if (pod.addresses.empty()) return {false, "no address yet"};
  if (pod.node.empty()) return {false, "not on a node yet"};
  if (pod.published) return {true, fmt::format("published by node {}", pod.node)};
  if (pod.netns_path.empty()) {
    return {false, is_from_file(pod) ? fmt::format("no annotation {}: its network namespace is not known", kNetns)
                                     : "its network namespace is not found: no entry of the folder has its address"};
  }
  if (!why.empty()) return {true, "leaves, once the other nodes know: " + why};
  return {true, labels_say(pod, objects).reason};
}

std::string LivePod::uid() const { return uid_of(*pod); }

std::vector<IpAddress> LivePod::addresses() const {
  std::vector<IpAddress> own;
  for (size_t i = 0; i < pod->addresses.size(); ++i) {
    if (!is_withheld(withheld, i)) own.push_back(pod->addresses[i]);
  }
  return own;
}

bool PodTable::ByName::operator()(const LivePod& left, const LivePod& right) const {
  const auto order = left.pod->meta.name <=> right.pod->meta.name;
  return order != 0 ? order < 0 : left.pod->meta.uid < right.pod->meta.uid;
}

// Pods contend for uids and addresses. Each update takes those out that changed, all that ever lost something, and
// whoever has what one of them asks for; and lets these claim anew, in their order. Nobody else has a say: so it is as
// if all had claimed in order.
std::vector<PodTable::Change> PodTable::update(const std::vector<ObjectKey>* keys) {
  Contest contest;
  if (keys == nullptr) {
    enter_all(contest);
  } else {
    enter_changed(*keys, contest);
  }
  enter_rivals(contest);

  std::vector<PodPtr> candidates(contest.pods.begin(), contest.pods.end());
  std::ranges::sort(candidates, keeps_address_before);
  std::vector<LivePod> after;
  for (const PodPtr& pod : candidates) {
    if (const LivePod* live = claim(pod)) after.push_back(*live);
  }
  return differences(std::move(contest.before), std::move(after));
}

void PodTable::enter_all(Contest& contest) {
  while (!pods_.empty()) leave(pods_.begin()->pod, contest);
  losers_.clear();
  for (const PodPtr& pod : published_.rebuild(objects_.objects(), own_node_)) enter(pod, contest);
  for (const auto& [name, pod] : objects_.objects().all<Pod>()) enter(objects_.objects().share<Pod>(name), contest);
}

void PodTable::enter_changed(const std::vector<ObjectKey>& keys, Contest& contest) {
  for (const ObjectKey& key : keys) {
    if (key.kind != Pod::kKind) continue;
    // Those of this name, of whatever source.
    for (const PodPtr& pod : named(key.name)) leave(pod, contest);
    std::erase_if(losers_, [&](const auto& loser) { return loser.first->meta.name == key.name; });
    if (auto pod = objects_.objects().share<Pod>(key.name)) {
      enter(std::move(pod), contest);
    } else {
      for (const PodPtr& published : published_.named(key.name)) enter(published, contest);
    }
  }
  const PublishedPods::Update published = published_.update(keys, objects_.objects(), own_node_);
  for (const PodPtr& pod : published.gone) {
    leave(pod, contest);
    contest.pods.erase(pod);
    losers_.erase(pod);
  }
  for (const PodPtr& pod : published.here) enter(pod, contest);
  // What is believed of an address is another thing now.
  for (const IpAddress& address : published.doubted) {
    const auto holder = by_address_.find(address);
    if (holder == by_address_.end() || !holder->second->pod->published) continue;
    const PodPtr pod = holder->second->pod;
    leave(pod, contest);
    enter(pod, contest);
  }
}

void PodTable::enter_rivals(Contest& contest) {
  for (auto& [pod, findings] : std::exchange(losers_, {})) {
    leave(pod, contest);
    contest.pods.insert(pod);
  }
  std::vector<PodPtr> look_at(contest.pods.begin(), contest.pods.end());
  while (!look_at.empty()) {
    const PodPtr pod = std::move(look_at.back());
    look_at.pop_back();
    std::vector<PodPtr> rivals;
    if (const auto holder = by_uid_.find(uid_of(*pod)); holder != by_uid_.end()) rivals.push_back((*holder)->pod);
    for (const IpAddress& address : pod->addresses) {
      if (const auto holder = by_address_.find(address); holder != by_address_.end())
        rivals.push_back(holder->second->pod);
    }
    for (const PodPtr& rival : rivals) {
      leave(rival, contest);
      if (contest.pods.insert(rival).second) look_at.push_back(rival);
    }
  }
}

// Only what may have an address of its own.
void PodTable::enter(PodPtr pod, Contest& contest) {
  if (!pod->host_network && is_running(*pod) && !pod->addresses.empty()) contest.pods.insert(std::move(pod));
}

void PodTable::leave(const PodPtr& pod, Contest& contest) {
  const auto [first, last] = pods_.equal_range(pod->meta.name);
  const auto live = std::find_if(first, last, [&](const LivePod& one) { return one.pod == pod; });
  if (live == last) return;
  for (const IpAddress& address : live->addresses()) by_address_.erase(address);
  by_uid_.erase(&*live);
  contest.before.push_back(*live);
  pods_.erase(live);
}

const LivePod* PodTable::claim(const PodPtr& pod) {
  if (pod->published && !published_.is_believed(pod)) return nullptr;
  Findings findings;
  LivePod live{.pod = pod};
  if (const auto first = by_uid_.find(live.uid()); first != by_uid_.end()) {
    losers_[pod].push_back(finding_on(
        Severity::kError, *pod, "metadata.uid",
        fmt::format("{} has it already; this pod is left out", describe(Pod::kKind, (*first)->pod->meta.name))));
    return nullptr;
  }
  size_t left = pod->addresses.size();
  for (size_t i = 0; i < pod->addresses.size(); ++i) {
    const IpAddress& address = pod->addresses[i];
    const auto owner = by_address_.find(address);
    const bool own_twice = std::ranges::find(pod->addresses.begin(), pod->addresses.begin() + static_cast<ptrdiff_t>(i),
                                             address) != pod->addresses.begin() + static_cast<ptrdiff_t>(i);
    if (owner == by_address_.end() && !own_twice && i < kMostAddresses) continue;
    live.withheld |= i < kMostAddresses ? 1u << i : 0;
    --left;
    const Name& name = owner == by_address_.end() ? pod->meta.name : owner->second->pod->meta.name;
    losers_[pod].push_back(finding_on(
        Severity::kError, *pod, "status.podIP",
        fmt::format("{} has the address {} already and keeps it", describe(Pod::kKind, name), address.text())));
  }
  if (left == 0) return nullptr;
  live.captured = enrolment_of(*pod, objects_.objects()).enrolled;
  const LivePod& added = *pods_.insert(std::move(live)).first;
  by_uid_.insert(&added);
  for (const IpAddress& address : added.addresses()) by_address_.emplace(address, &added);
  return &added;
}

std::vector<PodTable::Change> PodTable::differences(std::vector<LivePod> before, std::vector<LivePod> after) {
  const auto rank = [](const LivePod& live) { return std::make_pair(std::cref(live.pod->meta.name), live.uid()); };
  std::map<std::pair<Name, std::string>, Change> changes;
  for (LivePod& live : before) changes[rank(live)].before = std::move(live);
  for (LivePod& live : after) changes[rank(live)].after = std::move(live);
  std::vector<Change> differing;
  for (auto& [key, change] : changes) {
    const auto& [was, is] = change;
    const bool same =
        was && is && was->captured == is->captured && was->withheld == is->withheld && *was->pod == *is->pod;
    if (!same) differing.push_back(std::move(change));
  }
  return differing;
}

std::vector<PodPtr> PodTable::named(const Name& name) const {
  std::vector<PodPtr> pods;
  const auto [first, last] = pods_.equal_range(name);
  for (auto live = first; live != last; ++live) pods.push_back(live->pod);
  return pods;
}

void PodTable::add_readers_of(const Change& change, DirtyParts& dirty) const {
  for (const auto* live : {&change.before, &change.after}) {
    if (!*live) continue;
    for (const IpAddress& address : (*live)->addresses()) dirty.add_readers(fact_at(address));
  }
  const Pod& any = *(change.before ? change.before : change.after)->pod;
  const auto readers = selections_.find(any.meta.name.ns);
  if (readers == selections_.end()) return;
  const auto is_in = [](const Labels& labels, const std::optional<LivePod>& live) {
    return live && selects(labels, live->pod->meta.labels);
  };
  for (const auto& [reader, labels] : readers->second) {
    if (is_in(labels, change.before) || is_in(labels, change.after)) dirty.add(reader);
  }
}

const LivePod* PodTable::by_address(const IpAddress& address) const {
  objects_.note(fact_at(address));
  const auto found = by_address_.find(address);
  return found == by_address_.end() ? nullptr : found->second;
}

const LivePod* PodTable::by_uid(const std::string& uid) const {
  const auto found = by_uid_.find(uid);
  return found == by_uid_.end() ? nullptr : *found;
}

void PodTable::forget_selection(const std::string& ns, Reads::Part reader) const {
  const auto readers = selections_.find(ns);
  if (readers == selections_.end()) return;
  readers->second.erase(reader);
  if (readers->second.empty()) selections_.erase(readers);
}

Findings PodTable::findings() const {
  Findings all = published_.findings();
  for (const auto& [pod, findings] : losers_) all.insert(all.end(), findings.begin(), findings.end());
  return all;
}

Exclusions read_exclusions(const Pod& pod, Findings& findings) {
  return {
      .outbound_ports = read_list(pod, kOutboundPorts, parse_port, "a port", findings),
      .outbound_cidrs = read_list(pod, kOutboundCidrs, Cidr::parse, "a CIDR like 10.0.0.0/8", findings),
      .inbound_ports = read_list(pod, kInboundPorts, parse_port, "a port", findings),
      .inbound_cidrs = read_list(pod, kInboundCidrs, Cidr::parse, "a CIDR like 10.0.0.0/8", findings),
  };
}

namespace {

template <typename Kind>
void check_label(const Kind& object, Findings& findings) {
  const std::string_view value = value_of(object.meta.labels, kMeshLabel);
  if (value.empty() || value == "enabled" || value == "disabled") return;
  findings.push_back(finding_on(Severity::kError, object, fmt::format("metadata.labels[{}]", kMeshLabel),
                                fmt::format("must be enabled or disabled, not '{}'; ignored", value)));
}

}  // namespace

void check_marker(const Namespace& space, Findings& findings) { check_label(space, findings); }

void check_marker(const Pod& pod, const ObjectSet& objects, Findings& findings) {
  check_label(pod, findings);
  for (const auto& [annotation, value] : pod.meta.annotations) {
    if (!annotation.starts_with(kAnnotationPrefix) ||
        std::ranges::find(kPodAnnotations, annotation) != kPodAnnotations.end())
      continue;
    findings.push_back(finding_on(Severity::kWarning, pod, fmt::format("metadata.annotations[{}]", annotation),
                                  "unknown annotation, ignored"));
  }
  if (!labels_say(pod, objects).asked || pod.host_network || !is_running(pod)) return;
  if (const auto sandbox = sandbox_of(pod, objects)) {
    findings.push_back(finding_on(
        Severity::kWarning, pod, "spec.runtimeClassName",
        fmt::format("{}: the sandbox has a network stack of its own, which the node's kernel does not see, so the pod "
                    "can't be enrolled. Its connections are plaintext, STRICT pods refuse them, and no "
                    "PeerAuthentication holds for what comes to it. Give it another runtime class, or the label {}: "
                    "disabled",
                    *sandbox, kMeshLabel)));
  } else if (const auto other = other_mesh_of(pod)) {
    findings.push_back(
        finding_on(Severity::kWarning, pod, "metadata.annotations",
                   fmt::format("{} takes the pod's traffic, so it is not enrolled: for Leat's pods it is outside the "
                               "mesh. Take it out of that mesh, which may need its restart, or give it the label {}: "
                               "disabled",
                               *other, kMeshLabel)));
  } else if (!pod.addresses.empty() && pod.netns_path.empty() && is_from_file(pod)) {
    findings.push_back(finding_on(Severity::kError, pod, fmt::format("metadata.annotations[{}]", kNetns),
                                  "missing: without the path of its network namespace the pod can't be enrolled"));
  }
}

void check_namespaces(const ObjectSet& objects, Findings& findings) {
  constexpr char kAfterAllNames[] = "\x7f";
  const Pod* pod = objects.first_from<Pod>({});
  for (; pod != nullptr; pod = objects.first_from<Pod>({pod->meta.name.ns, kAfterAllNames})) {
    const std::string& ns = pod->meta.name.ns;
    if (objects.find<Namespace>({"", ns}) != nullptr) continue;
    findings.push_back(finding_on(Severity::kWarning, *pod, "metadata.namespace",
                                  fmt::format("there is no Namespace object {}; its pods are not enrolled", ns)));
  }
}

}  // namespace leat::control
