// agent/sources/kubernetes/: the objects of a cluster, from its API server. From the bottom up:
//
//   token_file.h, api_client.h     requests and their answers        api_json.h      answers -> documents
//   backoff.h, informer.h          what to ask next, and when        object_cache.h  documents -> objects
//   resources.h                    the kinds that are watched        workload_publisher.h  what the other nodes are
//   told
//
// This class joins them. While the API server is away the objects stay as they were last seen.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "agent/sources/kubernetes/api_client.h"
#include "agent/sources/kubernetes/informer.h"
#include "agent/sources/kubernetes/object_cache.h"
#include "agent/sources/kubernetes/resources.h"
#include "agent/sources/kubernetes/workload_publisher.h"
#include "agent/sources/source.h"

namespace leat::sources {

class KubernetesSource : public Source {
 public:
  // The path of the pod's network namespace on this machine; empty: not found (pod_namespaces.h).
  using FindNetns = std::function<std::string(const control::Pod& pod, const control::ObjectSet& objects)>;

  static Result<std::unique_ptr<KubernetesSource>> open(EventLoop& loop, std::string node, ApiServers servers,
                                                        FindNetns find_netns);
  ~KubernetesSource() override;

  void watch(EventLoop& loop, Changed changed) override;
  [[nodiscard]] const control::ObjectSet& objects() const override { return cache_.objects(); }
  [[nodiscard]] control::Findings findings() const override;
  void publish(const std::vector<const v1::Workload*>& captured) override;

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
  };

  KubernetesSource(EventLoop& loop, std::string node, std::unique_ptr<ApiClient> client, FindNetns find_netns);

  void plan(Watched& watched, Informer::Ask ask);
  void send(Watched& watched);
  void on_list(Watched& watched, const ApiClient::Answer& answer);
  bool on_event(Watched& watched, std::string_view line);
  void on_watch_end(Watched& watched, const ApiClient::Answer& answer);
  bool try_other_version(Watched& watched);
  void ask_for_absent(const Watched& installed);

  void complete(control::Object& object);
  void look_for_namespaces();
  void note_change();
  void tell_change();
  [[nodiscard]] bool is_synced() const;
  void see_published();
  void look_for_failures();
  [[nodiscard]] std::vector<const Watched*> failing() const;

  EventLoop& loop_;
  std::string node_;
  std::unique_ptr<ApiClient> client_;
  FindNetns find_netns_;
  std::mt19937_64 random_{std::random_device{}()};
  ObjectCache cache_;
  std::vector<std::unique_ptr<Watched>> watched_;
  WorkloadPublisher publisher_;
  Changed changed_;
  bool synced_ = false;
  std::optional<Backoff::Clock::time_point> seen_;  // the first of the changes that are not told yet
  std::set<control::Name> without_netns_;           // pods here that are looked for again
  std::set<std::string_view> told_failing_;
  EventLoop::TimerId change_timer_ = 0, netns_timer_ = 0, failure_timer_ = 0;
};

}  // namespace leat::sources
