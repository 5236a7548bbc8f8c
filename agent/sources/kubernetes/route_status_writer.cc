#include "agent/sources/kubernetes/route_status_writer.h"

#include <ctime>
#include <utility>

#include <fmt/chrono.h>

#include "agent/sources/kubernetes/limits.h"
#include "agent/sources/kubernetes/route_status.h"

namespace leat::sources {
namespace {

using control::ObjectKey;
using Clock = EventLoop::Clock;

std::string_view plural_of(std::string_view kind) {
  return kind == control::GatewayHttpRoute::kKind ? "httproutes" : "grpcroutes";
}

// The one that the statuses of a compilation name.
ObjectKey key_of(const v1::Origin& route) {
  const bool http = route.kind() == control::GatewayHttpRoute::kKind;
  return {http ? control::GatewayHttpRoute::kKind : control::GatewayGrpcRoute::kKind,
          {route.namespace_(), route.name()}};
}

}  // namespace

RouteStatusWriter::RouteStatusWriter(EventLoop& loop, kubernetes::ApiClient& client, Tools tools)
    : loop_(loop),
      client_(client),
      tools_(std::move(tools)),
      bucket_(limits::kStatusASecond, limits::kStatusBurst, Clock::now()) {}

RouteStatusWriter::~RouteStatusWriter() { loop_.cancel(timer_); }

void RouteStatusWriter::look_soon() {
  if (!busy_) look_after(limits::kStatusPause);  // a write that is under way looks again when it ends
}

// A look that is due sooner stands.
void RouteStatusWriter::look_after(std::chrono::milliseconds pause) {
  const auto due = Clock::now() + pause;
  if (timer_ != 0 && due_ <= due) return;
  loop_.cancel(timer_);
  due_ = due;
  timer_ = loop_.after(pause, [this] {
    timer_ = 0;
    look();
  });
}

void RouteStatusWriter::look() {
  if (!tools_.leads()) {
    failure_.clear();  // it is another's to write
    return;
  }
  std::map<ObjectKey, std::vector<const v1::RouteStatus*>> statuses;
  for (const v1::RouteStatus& status : tools_.statuses()) statuses[key_of(status.route())].push_back(&status);
  const auto now = Clock::now();
  std::erase_if(written_, [now](const auto& one) { return one.second.until < now; });
  for (const auto& [route, facts] : tools_.facts()) {
    // What the mesh was not made of yet is looked at when it is.
    if (!is_route(route.kind) || facts.judged != facts.generation) continue;
    if (const auto written = written_.find(route); written != written_.end()) {
      if (written->second.version == facts.version) continue;
      written_.erase(written);
    }
    if (look_at(route, facts, statuses[route])) return;
  }
  if (written_.empty()) {
    failure_.clear();  // there is nothing to write, and nothing that was refused
  } else {
    look_after(limits::kStatusSeenAgain);
  }
}

// True: a write is under way, or waits.
bool RouteStatusWriter::look_at(const ObjectKey& route, const ObjectFacts& facts,
                                const std::vector<const v1::RouteStatus*>& statuses) {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  auto patch = status_patch(facts, statuses, fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now)));
  if (!patch) return false;
  if (!bucket_.take(1, Clock::now())) {
    look_after(limits::kStatusPause);
    return true;
  }
  busy_ = true;
  kubernetes::ask(
      client_,
      {.method = "PATCH",
       .path = fmt::format("{}/namespaces/{}/{}/{}/status?fieldManager=leat-agent", tools_.group_path(route.kind),
                           route.name.ns, plural_of(route.kind), route.name.name),
       .content_type = "application/json-patch+json",
       .body = std::move(*patch),
       .deadline = limits::kWriteDeadline},
      [this, route, version = facts.version](const Result<kubernetes::ApiClient::Answer>& answer) {
        finish(route, version, answer ? Result<void>{} : std::unexpected(answer.error()));
      });
  return true;
}

void RouteStatusWriter::finish(const ObjectKey& route, const std::string& version, const Result<void>& written) {
  busy_ = false;
  if (written) {
    failure_.clear();
    refused_.erase(route);
    written_[route] = {version, Clock::now() + limits::kStatusSeenAgain};
    return look_after(std::chrono::milliseconds(0));  // the next one
  }
  const ErrorCode code = written.error().code;
  const bool overtaken = code == ErrorCode::kConflict || code == ErrorCode::kInvalid || code == ErrorCode::kNotFound;
  if (!overtaken) {
    failure_ = written.error().message;
    return look_after(backoff_.next(kubernetes::Backoff::Clock::now(), tools_.random()));
  }
  // It has another version meanwhile, or is gone: its event is on the way. Where none comes the patch is at fault.
  written_[route] = {version, Clock::now() + limits::kStatusSeenAgain};
  if (std::exchange(refused_[route], version) == version)
    failure_ = fmt::format("{}: {}", control::describe(route.kind, route.name), written.error().message);
  look_after(limits::kStatusPause);
}

}  // namespace leat::sources
