// Writes the status of HTTPRoutes and GRPCRoutes, where this agent leads: one request at a time, only where the server
// has another one, and never faster than limits.h says.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/sources/kubernetes/object_facts.h"
#include "common/event_loop.h"
#include "common/kubernetes/ask.h"
#include "common/kubernetes/backoff.h"
#include "common/token_bucket.h"
#include "leat.pb.h"

namespace leat::sources {

class RouteStatusWriter {
 public:
  struct Tools {
    std::function<bool()> leads;
    std::function<const std::map<control::ObjectKey, ObjectFacts>&()> facts;
    std::function<const std::vector<v1::RouteStatus>&()> statuses;
    // Of a kind, in the version that the server has it in: /apis/gateway.networking.k8s.io/v1
    std::function<std::string(std::string_view kind)> group_path;
    std::function<double()> random;
  };

  RouteStatusWriter(EventLoop& loop, kubernetes::ApiClient& client, Tools tools);
  ~RouteStatusWriter();

  // Facts or statuses may be others than before, or this agent leads now. Cheap.
  void look_soon();
  // Why the last write failed; empty: it did not.
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  void look();
  bool look_at(const control::ObjectKey& route, const ObjectFacts& facts,
               const std::vector<const v1::RouteStatus*>& statuses);
  void finish(const control::ObjectKey& route, const std::string& version, const Result<void>& written);
  void look_after(std::chrono::milliseconds pause);

  EventLoop& loop_;
  kubernetes::ApiClient& client_;
  Tools tools_;
  TokenBucket bucket_;
  kubernetes::Backoff backoff_;
  bool busy_ = false;
  struct Written {
    std::string version;  // that the patch was of
    TokenBucket::Time until;
  };
  std::map<control::ObjectKey, Written> written_;      // whose new version has not been seen yet
  std::map<control::ObjectKey, std::string> refused_;  // the version whose patch the server did not take
  std::string failure_;
  EventLoop::TimerId timer_ = 0;
  EventLoop::Clock::time_point due_{};  // of the timer
};

}  // namespace leat::sources
