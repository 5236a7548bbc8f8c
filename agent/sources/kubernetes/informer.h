// One kind's list and watch, as a state machine: what to ask the API server next and when, and what an answer means for
// the objects. No I/O and no clock of its own: kubernetes_source.h asks, and tells it what came.
//
//   listing --last page--> watching --410--> listing again, not older than what was seen; any age if that fails too
//      ^  \--410 on a later page: from the first page                      |
//      |--404: the kind is not installed: asked for again, slowly          |-- ends in order: watches on from there
//      |-- any other failure: after a back-off                             |-- is cut: watches on, after a back-off
//
// A resource version is opaque: it is kept and given back, never compared for order.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/kubernetes/backoff.h"

namespace leat::sources {

using kubernetes::Backoff;

class Informer {
 public:
  using Clock = Backoff::Clock;
  using Random = std::function<double()>;  // 0 to 1

  // The next request: exactly one is under way or waits at any time.
  struct Ask {
    enum class What : uint8_t { kList, kWatch };
    What what = What::kList;
    std::chrono::milliseconds delay{0};
    std::string resource_version;      // a list's: not older than; empty: the newest. A watch's: from here on
    std::string continue_token;        // of a list: the next page
    std::chrono::seconds duration{0};  // of a watch: the server ends it then
  };
  // What became of a request that was not answered as wished. `status`: HTTP's, or of the error in the stream; 0: none
  // came, the connection failed or was cut.
  struct Failure {
    int status = 0;
    std::string reason;  // Kubernetes' word: "Expired"
    std::string message;
    std::optional<std::chrono::seconds> retry_after;
  };
  enum class Presence : uint8_t {
    kUnknown,    // never listed
    kInstalled,  // listed
    kAbsent,     // the API server does not have this kind
  };

  explicit Informer(Random random) : random_(std::move(random)) {}

  Ask start();
  // One page was read. Without a token it was the last one: the objects are those of the list.
  Ask listed(Clock::time_point now, std::string resource_version, std::string continue_token);
  Ask list_failed(Clock::time_point now, const Failure& failure);
  // The server has taken the watch.
  void watch_began() { failing_since_.reset(); }
  // An event of the watch: an object's, or a bookmark.
  void advanced(std::string resource_version);
  // The watch's stream ended: in order, or by an error in it.
  Ask watch_ended(Clock::time_point now);
  Ask watch_failed(Clock::time_point now, const Failure& failure);

  [[nodiscard]] Presence presence() const { return presence_; }
  // Since when every request failed; nothing while the last one went well.
  [[nodiscard]] const std::optional<Clock::time_point>& failing_since() const { return failing_since_; }
  [[nodiscard]] const std::string& last_failure() const { return last_failure_; }
  [[nodiscard]] bool first_page() const { return first_page_; }  // of the list that is under way

  static constexpr int kPageSize = 500;  // client-go's: about 3 MB of EndpointSlices
  static constexpr std::chrono::seconds kShortestWatch{300}, kLongestWatch{600};
  // An ordered end sooner than this is a server that gives up at once: it is not asked again without a pause.
  static constexpr std::chrono::seconds kHastyEnd{1};
  // A kind that is gone may be a server that has not read its definitions yet: the objects stay for so long.
  static constexpr std::chrono::seconds kAbsentGrace{30};
  static constexpr std::chrono::seconds kAskAbsentAgain{30};  // times 1 to 1.5

 private:
  Ask list(std::chrono::milliseconds delay);
  Ask watch(Clock::time_point now, std::chrono::milliseconds delay);
  std::chrono::milliseconds pause(Clock::time_point now, const Failure& failure);
  void note_failure(Clock::time_point now, const Failure& failure);
  [[nodiscard]] bool is_absence_certain(Clock::time_point now) const;

  Random random_;
  Backoff backoff_;
  Presence presence_ = Presence::kUnknown;
  std::string seen_version_;  // the newest that was seen; empty: none that the server would take
  bool first_page_ = true;
  Clock::time_point asked_at_;  // for the watch
  std::optional<Clock::time_point> failing_since_;
  std::optional<Clock::time_point> missing_since_;  // 404 ever since
  std::string last_failure_;
};

}  // namespace leat::sources
