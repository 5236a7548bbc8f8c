// Requests as Istio counts them: its names, labels and buckets, reported from the source's side; and how the routes do.
// One a worker, used on its thread only. A request costs one hash lookup and no allocation, once its series is known.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "leat.pb.h"
#include "userspace-proxy/limits.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/telemetry/flow_table.h"
#include "userspace-proxy/telemetry/metric_labels.h"
#include "userspace-proxy/telemetry/response_flags.h"

namespace leat::proxy {

// A request as gRPC sees it: whether it is a call at all, and the status that its client got, if it got one.
struct Call {
  bool grpc = false;
  std::optional<uint8_t> status = std::nullopt;
  auto operator<=>(const Call&) const = default;
  bool operator==(const Call&) const = default;
};

// One request at its end. The objects are borrowed for the call.
struct RequestFacts {
  const Workload* source = nullptr;       // never null
  const Workload* destination = nullptr;  // null: no endpoint was chosen, or it is not a pod that the mesh knows
  const Service* service = nullptr;     // that the route chose; where none did, that the client asked for; may be null
  const Service* asked = nullptr;       // that `route` lives in
  const route::Route* route = nullptr;  // null: none
  Security security = Security::kNone;  // of the way to the destination
  ResponseFlags flags = ResponseFlag::kNone;
  uint16_t code = 0;                 // as the client got it; 0: it got none
  Call call = {};                    // of gRPC
  std::chrono::nanoseconds took{0};  // from the request's first byte to the response's last
  uint64_t request_bytes = 0;        // bodies, without framing
  uint64_t response_bytes = 0;
};

// Counts of values in Envoy's default buckets.
struct Histogram {
  static constexpr std::array<double, 19> kBounds{
      0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};
  std::array<uint64_t, kBounds.size() + 1> counts{};  // the last: above every bound
  double sum = 0;

  void add(double value);
  void add(const Histogram& more);
  [[nodiscard]] uint64_t count() const;
};

// A worker's series as they were: copied in parts, so that thousands of them hold up no request.
class RequestSeries;

class RequestMetrics {
 public:
  void record(const RequestFacts& request, Clock::time_point now);
  // Forgets series that no request has touched for limits::kRequestSeriesIdle. Called now and then.
  void expire(Clock::time_point now);
  // Adds at most `most` series, those behind the last ones that `to` has from here. False: that was all of them.
  bool copy(RequestSeries& to, size_t most) const;

  [[nodiscard]] size_t series() const { return series_.size(); }

 private:
  friend class RequestSeries;
  struct Labels {
    Peer source, destination;
    std::string service;  // namespace/name
    std::string route;    // route::Route::label; empty: none
    bool mtls;
    ResponseFlags flags;
    uint16_t code;
    Call call;
    auto operator<=>(const Labels&) const = default;
  };
  struct Series {
    Histogram duration_ms, request_bytes, response_bytes;
    Clock::time_point touched;
    void add(const Series& more);
  };
  // The same by the objects of the model, so that a request looks at no string.
  struct Key {
    const Workload* source;
    const Workload* destination;
    const Service* service;
    const route::Route* route;
    Security security;
    ResponseFlags flags;
    uint16_t code;
    Call call;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  struct Shortcut {
    Series* series;
    WorkloadRef source, destination;  // held, so that nothing else gets their addresses
    ServiceRef service, asked;
  };

  Series& series_of(const RequestFacts& request);
  Series& find_or_add(const RequestFacts& request);

  std::map<Labels, Series> series_;
  std::unordered_map<Key, Shortcut, KeyHash> shortcuts_;  // emptied at each expire()
  std::optional<Series> overflow_;                        // of requests that found series_ full
};

class RequestSeries {
 public:
  // Appends every series: istio_requests_total, istio_request_duration_milliseconds, istio_request_bytes and
  // istio_response_bytes, and leat_route_duration_milliseconds. Equal labels of several workers are summed.
  static void report(std::vector<RequestSeries> workers, std::string_view trust_domain, const CounterSink& out);

 private:
  friend class RequestMetrics;
  using Labels = RequestMetrics::Labels;
  using Series = RequestMetrics::Series;

  std::vector<std::pair<Labels, Series>> series_;  // ascending
  std::optional<Series> overflow_;
};

}  // namespace leat::proxy
