#include "agent/cni/cni_service.h"

#include <algorithm>
#include <set>

#include "agent/cni/limits.h"
#include "agent/cni/netns_entry.h"
#include "common/log.h"

namespace leat::agent {
namespace {

using sources::Attachment;

constexpr char kAttachmentsFile[] = "attachments", kLatePodsFile[] = "late-pods";

bool is_gone(const Attachment& attachment) { return inode_at(attachment.netns_path) != attachment.netns_inode; }

// One of each family: that is what is captured.
std::vector<IpAddress> read_addresses(const std::vector<std::string>& texts) {
  std::vector<IpAddress> addresses;
  for (const std::string& text : texts) {
    const auto address = IpAddress::parse(text);
    const auto same_family = [&](const IpAddress& other) { return other.is_v4() == address->is_v4(); };
    if (address && std::ranges::none_of(addresses, same_family)) addresses.push_back(*address);
  }
  return addresses;
}

}  // namespace

sources::Attachments CniService::load_attachments(const StateFolder& state) {
  const auto text = state.read(kAttachmentsFile);
  if (text && !*text) return {};
  auto attachments = text ? sources::Attachments::load(**text) : std::unexpected(text.error());
  if (!attachments) {
    log::error("the file of attachments can't be read: {}; running pods are found by their namespaces",
               attachments.error().message);
    return {};
  }
  attachments->remove_if(is_gone);
  return std::move(*attachments);
}

Result<std::unique_ptr<CniService>> CniService::open(EventLoop& loop, const Config& config, const StateFolder& state,
                                                     sources::Attachments& attachments, Tools tools) {
  std::unique_ptr<CniService> service(new CniService(loop, config, state, attachments, std::move(tools)));
  LEAT_TRY(service->server_, CniServer::open(loop, config.cni_socket(),
                                             [self = service.get()](CniQuestion question, CniServer::Answer answer) {
                                               self->on_question(std::move(question), std::move(answer));
                                             }));
  return service;
}

CniService::CniService(EventLoop& loop, const Config& config, const StateFolder& state,
                       sources::Attachments& attachments, Tools tools)
    : loop_(loop),
      config_(config),
      state_(state),
      attachments_(attachments),
      tools_(std::move(tools)),
      gate_(loop_, {.objects = tools_.objects,
                    .objects_are_there = [this] { return objects_are_there_; },
                    .captured_cookie = tools_.captured_cookie,
                    .last_failure =
                        [this](const std::string& uid) {
                          const auto pod = tools_.pods().find(uid);
                          const bool captured = pod == tools_.pods().end() || pod->second.enrolment == "enrolled";
                          return captured ? std::string() : pod->second.reason;
                        }}),
      enrolled_(EnrolledFile::open(state_)) {
  if (const auto late = state_.read(kLatePodsFile); late && *late) late_.load(**late);
  look_timer_ = loop_.after(limits::kLookAtAttachments, [this] { look_at_attachments(); });
}

CniService::~CniService() { loop_.cancel(look_timer_); }

// ---------------------------------------------------------------- questions

void CniService::on_question(CniQuestion question, CniServer::Answer answer) {
  const cni::Request& request = question.request;
  if (request.command == "ADD") return add(question, std::move(answer));
  if (request.command == "CHECK") return check(question, answer);
  if (request.command == "DEL") forget_container(request.container.container_id);
  if (request.command == "GC") keep_only(request.valid);
  if (request.command == "STATUS" && !objects_are_there_)
    return answer(
        {.code = cni::Code::kPluginNotAvailable, .message = "leat-agent has not read the mesh's objects yet"});
  answer({});
}

void CniService::add(const CniQuestion& question, CniServer::Answer answer) {
  const cni::Request& request = question.request;
  const control::Name name{request.pod_namespace, request.pod_name};
  if (!question.netns.valid() || name.name.empty() || request.container.container_id.empty())
    return answer(
        {.code = cni::Code::kInvalidEnvironment, .message = "an ADD needs a pod, a container and a network namespace"});
  const auto entry = find_netns_entry(question.netns.get(), request.netns, config_.cni->netns);
  if (!entry) return answer({.code = cni::Code::kInvalidNetns, .message = entry.error().message});

  attachments_.add({.container_id = request.container.container_id,
                    .ifname = request.container.ifname,
                    .pod = name,
                    .uid = request.pod_uid,
                    .netns_path = entry->path,
                    .netns_inode = entry->inode,
                    .addresses = read_addresses(request.addresses)});
  if (const auto saved = save_attachments(); !saved)
    return answer(
        {.code = cni::Code::kTryAgainLater, .message = "leat-agent can't remember the pod: " + saved.error().message});
  tools_.attachment_changed(name);

  const std::chrono::milliseconds longest(request.wait_ms);
  gate_.add({.name = name, .uid = request.pod_uid, .cookie = entry->cookie},
            std::max(longest - limits::kCniAnswerMargin, longest / 2),
            [this, answer = std::move(answer)](const cni::Reply& reply) {
              held_back_ += reply.code != cni::Code::kOk;
              answer(reply);
            });
}

void CniService::check(const CniQuestion& question, const CniServer::Answer& answer) {
  const cni::Request& request = question.request;
  if (!question.netns.valid())
    return answer({.code = cni::Code::kInvalidEnvironment, .message = "a CHECK needs a network namespace"});
  const auto entry = find_netns_entry(question.netns.get(), request.netns, config_.cni->netns);
  if (!entry) return answer({.code = cni::Code::kInvalidNetns, .message = entry.error().message});
  answer(gate_.check(
      {.name = {request.pod_namespace, request.pod_name}, .uid = request.pod_uid, .cookie = entry->cookie}));
}

// ---------------------------------------------------------------- what is remembered

void CniService::forget_container(const std::string& container_id) {
  remove_if([&](const Attachment& each) { return each.container_id == container_id; });
}

void CniService::keep_only(const std::vector<cni::ContainerInterface>& valid) {
  const std::set<cni::ContainerInterface> kept(valid.begin(), valid.end());
  remove_if([&](const Attachment& each) { return !kept.contains({each.container_id, each.ifname}); });
}

void CniService::look_at_attachments() {
  look_timer_ = loop_.after(limits::kLookAtAttachments, [this] { look_at_attachments(); });
  remove_if(is_gone);
}

void CniService::remove_if(const std::function<bool(const Attachment&)>& gone) {
  const std::vector<control::Name> pods = attachments_.remove_if(gone);
  if (pods.empty()) return;
  if (const auto saved = save_attachments(); !saved) log::error("{}", saved.error().message);
  for (const control::Name& pod : pods) tools_.attachment_changed(pod);
}

Result<void> CniService::save_attachments() { return state_.write(kAttachmentsFile, attachments_.save()); }

// ---------------------------------------------------------------- what is in force now

void CniService::pods_changed() {
  objects_are_there_ = true;
  attachments_.forget_ended(tools_.objects());
  if (const auto written = enrolled_.update(state_, tools_.objects(), std::chrono::system_clock::now()); !written)
    log::error("leat-cni goes by old enrolled namespaces while no agent answers: {}", written.error().message);
  look_for_late_pods();
  gate_.reconsider();
  install();
}

// Not before the file of enrolled namespaces is there: an entry without it would hold back every pod of the node as
// soon as this agent is away.
void CniService::install() {
  if (installer_ || config_.cni->conf.empty() || !enrolled_.is_written()) return;
  auto installer = Installer::open(loop_, *config_.cni, config_.state);
  if (!installer) return log::error("leat-cni is not installed: {}", installer.error().message);
  installer_ = std::move(*installer);
}

void CniService::look_for_late_pods() {
  std::vector<LatePods::Captured> captured;
  for (const auto& [uid, state] : tools_.pods()) {
    if (state.enrolment != "enrolled") continue;
    const v1::Workload& workload = state.pod.workload;
    const auto* pod = tools_.objects().find<control::Pod>({workload.namespace_(), workload.name()});
    if (pod != nullptr) captured.push_back({.pod = pod, .uid = uid, .attached = attachments_.find(*pod) != nullptr});
  }
  const LatePods::Found found = late_.look(captured, enrolled_.namespaces());
  for (const sources::PodEvent& event : found.events) tools_.tell(event);
  if (!found.changed) return;
  if (const auto saved = state_.write(kLatePodsFile, late_.save()); !saved) log::error("{}", saved.error().message);
}

CniService::Numbers CniService::numbers() const {
  return {.attachments = attachments_.size(),
          .waiting = gate_.waiting(),
          .held_back = held_back_,
          .refused = server_->refused(),
          .late_pods = late_.count()};
}

}  // namespace leat::agent
