// agent/sources/kubernetes/: the objects of a cluster, from its API server. From the bottom up:
//
//   common/kubernetes/  requests and their answers     api_json.h            answers -> documents
//   informer.h          what to ask next, and when     object_cache.h        documents -> objects
//   resources.h         the kinds that are watched     last_seen.h           documents kept over a restart
//   leaving_pods.h        pods that stay a moment longer than they are asked to
//   workload_publisher.h  what the other nodes are told
//   teller.h            what the cluster is told of its objects and pods: status and Events
//
// This class joins them. While the API server is away the objects stay as they were last seen, by the agent before this
// one if need be. When it is back, kinds come in one by one: their changes are told together, once all are in step, for
// a route that is there before the subset it leads to would refuse requests.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "agent/sources/attachments.h"
#include "agent/sources/kubernetes/informer.h"
#include "agent/sources/kubernetes/last_seen.h"
#include "agent/sources/kubernetes/leaving_pods.h"
#include "agent/sources/kubernetes/object_cache.h"
#include "agent/sources/kubernetes/resources.h"
#include "agent/sources/kubernetes/teller.h"
#include "agent/sources/kubernetes/workload_publisher.h"
#include "agent/sources/source.h"
#include "common/kubernetes/api_client.h"

namespace leat::sources {

using kubernetes::ApiServers;

class KubernetesSource : public Source {
 public:
  // The path of the pod's network namespace on this machine; empty: not found (pod_namespaces.h).
  using FindNetns = std::function<std::string(const control::Pod& pod, const control::ObjectSet& objects)>;

  // `attachments` outlives the source, and goes before what `find_netns` finds.
  static Result<std::unique_ptr<KubernetesSource>> open(EventLoop& loop, std::string node, ApiServers servers,
                                                        const Attachments& attachments, LastSeen last_seen,
                                                        control::Name daemon_set, kubernetes::LeaseName lease,
                                                        FindNetns find_netns);
  ~KubernetesSource() override;

  void watch(EventLoop& loop, Changed changed) override;
  [[nodiscard]] const control::ObjectSet& objects() const override { return cache_.objects(); }
  [[nodiscard]] control::Findings findings() const override;
  void attachment_changed(const control::Name& pod) override;
  void publish(const std::vector<const v1::Workload*>& captured) override;
  void put_own(control::Object object) override { cache_.replace(std::move(object)); }
  void remove_own(const control::ObjectKey& key) override { cache_.take_out(key); }
  void judged_by(Verdict verdict) override { teller_.judged_by(std::move(verdict)); }
  void judged() override;
  void tell(const PodEvent& event) override { teller_.tell(event); }
  // Whether the DaemonSet that runs this agent is gone, or with it the right to ask: then Leat is being uninstalled.
  void ask_whether_to_leave(std::function<void(bool for_good)> answer) override;

 private:
  struct Watched {
    Resource resource;
    std::vector<std::string> versions;  // that the kind may be served in
    size_t version = 0;                 // the one that is asked for
    size_t versions_missing = 0;        // in a row, up to this one
    Informer informer;
    Informer::Ask ask;  // waits, or is under way
    ApiClient::Id transfer = 0;
    EventLoop::TimerId timer = 0;
    std::optional<Informer::Failure> ended_by;  // an error in the watch's stream
    bool behind = true;                         // the server may know of changes that were not heard here
    bool waited_for = true;                     // changes of other kinds wait for it while it is behind
    bool told_to_wait = false;                  // by the server, so that it is not asked before
    EventLoop::TimerId catch_up_timer = 0;
  };

  KubernetesSource(EventLoop& loop, std::string node, std::unique_ptr<ApiClient> client, const Attachments& attachments,
                   LastSeen last_seen, control::Name daemon_set, kubernetes::LeaseName lease, FindNetns find_netns);

  void plan(Watched& watched, Informer::Ask ask);
  void send(Watched& watched);
  void on_list(Watched& watched, const ApiClient::Answer& answer);
  bool on_event(Watched& watched, std::string_view line);
  void on_watch_end(Watched& watched, const ApiClient::Answer& answer);
  bool try_other_version(Watched& watched);
  void ask_for_absent(const Watched& installed);
  void ask_again(Watched& watched);

  void lose_step(Watched& watched);
  void catch_up(Watched& watched);
  void regain_step(Watched& watched);
  void note_heard();
  bool wait_for_step();
  void start_from_last_seen();

  void complete(control::Object& object);
  void look_for_namespaces();
  void note_change();
  void tell_soon();
  void tell_change();
  [[nodiscard]] bool is_synced() const;
  void see_published();
  void hold_leaving();
  void leave_all();
  void let_go();
  void look_for_daemon_set();
  void ask_for_daemon_set(std::function<void(int status, bool terminating)> told);
  void look_for_failures();
  [[nodiscard]] std::vector<const Watched*> failing() const;
  [[nodiscard]] std::string api_version_of(std::string_view kind) const;

  EventLoop& loop_;
  std::string node_;
  std::unique_ptr<ApiClient> client_;
  const Attachments& attachments_;
  FindNetns find_netns_;
  std::mt19937_64 random_{std::random_device{}()};
  control::Name daemon_set_;
  bool daemon_set_seen_ = false;  // so that a refusal later means grants that are gone, not ones that never were
  LastSeen last_seen_;
  ObjectCache cache_;
  std::vector<std::unique_ptr<Watched>> watched_;
  WorkloadPublisher publisher_;
  Teller teller_;
  Changed changed_;
  bool synced_ = false;                             // objects() are there, of the server or of an agent before
  std::optional<Backoff::Clock::time_point> seen_;  // the first of the changes that are not told yet
  bool objects_changed_ = false;                    // one of them is of an object
  std::chrono::system_clock::time_point heard_;     // all kinds were in step
  std::set<control::Name> without_netns_;           // pods here that are looked for again
  std::set<std::string_view> told_failing_;
  std::set<control::Name> published_;  // pods here, as the other nodes are told
  LeavingPods leaving_;
  EventLoop::TimerId change_timer_ = 0, netns_timer_ = 0, failure_timer_ = 0, last_seen_timer_ = 0, leave_timer_ = 0,
                     daemon_set_timer_ = 0;
};

}  // namespace leat::sources
