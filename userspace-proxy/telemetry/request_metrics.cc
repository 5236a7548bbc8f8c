#include "userspace-proxy/telemetry/request_metrics.h"

#include <algorithm>
#include <numeric>

namespace leat::proxy {
namespace {

constexpr std::string_view kOverflow = "overflow";

v1::Counter histogram_of(const char* name, const LabelTexts& labels, const Histogram& histogram) {
  v1::Counter counter = counter_of(name, labels);
  v1::Histogram& message = *counter.mutable_histogram();
  message.mutable_bounds()->Add(Histogram::kBounds.begin(), Histogram::kBounds.end());
  message.mutable_counts()->Add(histogram.counts.begin(), histogram.counts.end());
  message.set_sum(histogram.sum);
  return counter;
}

}  // namespace

void Histogram::add(double value) {
  ++counts[static_cast<size_t>(std::ranges::lower_bound(kBounds, value) - kBounds.begin())];
  sum += value;
}

void Histogram::add(const Histogram& more) {
  for (size_t i = 0; i < counts.size(); ++i) counts[i] += more.counts[i];
  sum += more.sum;
}

uint64_t Histogram::count() const { return std::accumulate(counts.begin(), counts.end(), uint64_t{0}); }

// ---------------------------------------------------------------- from a request to its series

size_t RequestMetrics::KeyHash::operator()(const Key& key) const {
  constexpr uint64_t kSpread = 0x9e3779b97f4a7c15;  // objects' addresses differ in their middle bits only
  const auto mix = [](uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * kSpread;
    return hash ^ hash >> 32;
  };
  const auto address = [](const void* object) { return reinterpret_cast<uintptr_t>(object); };
  uint64_t hash = mix(address(key.source), address(key.destination));
  hash = mix(hash, address(key.service));
  hash = mix(hash, address(key.route));
  hash = mix(hash, key.call.grpc ? key.call.status.value_or(0xff) + 1 : 0);
  return mix(hash, uint64_t{key.code} << 32 | uint64_t{key.flags.bits()} << 8 | static_cast<uint64_t>(key.security));
}

void RequestMetrics::record(const RequestFacts& request, Clock::time_point now) {
  Series& series = series_of(request);
  series.duration_ms.add(std::chrono::duration<double, std::milli>(request.took).count());
  series.request_bytes.add(static_cast<double>(request.request_bytes));
  series.response_bytes.add(static_cast<double>(request.response_bytes));
  series.touched = now;
}

RequestMetrics::Series& RequestMetrics::series_of(const RequestFacts& request) {
  const Key key{request.source,   request.destination, request.service, request.route,
                request.security, request.flags,       request.code,    request.call};
  if (const auto known = shortcuts_.find(key); known != shortcuts_.end()) return *known->second.series;
  Series& series = find_or_add(request);
  if (shortcuts_.size() == limits::kRequestShortcuts) shortcuts_.clear();
  shortcuts_.emplace(key, Shortcut{&series, WorkloadRef(request.source), WorkloadRef(request.destination),
                                   ServiceRef(request.service), ServiceRef(request.asked)});
  return series;
}

RequestMetrics::Series& RequestMetrics::find_or_add(const RequestFacts& request) {
  Labels labels{.source = Peer::of(request.source),
                .destination = Peer::of(request.destination),
                .service = request.service ? request.service->key : "",
                .route = request.route ? request.route->label : "",
                .mtls = request.security == Security::kMtls,
                .flags = request.flags,
                .code = request.code,
                .call = request.call};
  const auto known = series_.find(labels);
  if (known != series_.end()) return known->second;
  if (series_.size() == limits::kRequestSeries) return overflow_ ? *overflow_ : overflow_.emplace();
  return series_[std::move(labels)];
}

void RequestMetrics::expire(Clock::time_point now) {
  shortcuts_.clear();  // they hold workloads that may have left the model; a request a kind finds its series anew
  std::erase_if(series_, [&](const auto& each) { return now - each.second.touched >= limits::kRequestSeriesIdle; });
}

void RequestMetrics::Series::add(const Series& more) {
  duration_ms.add(more.duration_ms);
  request_bytes.add(more.request_bytes);
  response_bytes.add(more.response_bytes);
}

bool RequestMetrics::copy(RequestSeries& to, size_t most) const {
  auto& copied = to.series_;
  auto next = copied.empty() ? series_.begin() : series_.upper_bound(copied.back().first);
  for (; next != series_.end() && most > 0; ++next, --most) copied.emplace_back(*next);
  if (next != series_.end()) return true;
  to.overflow_ = overflow_;
  return false;
}

// ---------------------------------------------------------------- the report

namespace {

void add_edge(const LabelTexts& labels, const Histogram& duration_ms, const Histogram& request_bytes,
              const Histogram& response_bytes, const CounterSink& out) {
  out(counter_of("istio_requests_total", labels, static_cast<double>(duration_ms.count())));
  out(histogram_of("istio_request_duration_milliseconds", labels, duration_ms));
  out(histogram_of("istio_request_bytes", labels, request_bytes));
  out(histogram_of("istio_response_bytes", labels, response_bytes));
}

// The labels of every series, so that a query over them finds the overflow too.
LabelTexts overflow_of(LabelTexts labels) {
  for (auto& [name, value] : labels) {
    if (name != "reporter" && name != "request_protocol" && name != "grpc_response_status") value = kOverflow;
  }
  return labels;
}

}  // namespace

void RequestSeries::report(std::vector<RequestSeries> workers, std::string_view trust_domain, const CounterSink& out) {
  std::map<Labels, Series> edges;                                // without their routes
  std::map<std::pair<std::string, uint16_t>, Histogram> routes;  // by code
  std::optional<Series> overflow;
  for (RequestSeries& worker : workers) {
    for (auto& [labels, series] : worker.series_) {
      if (!labels.route.empty()) routes[{std::exchange(labels.route, {}), labels.code}].add(series.duration_ms);
      edges[std::move(labels)].add(series);
    }
    worker.series_ = {};
    if (!worker.overflow_) continue;
    if (!overflow) overflow.emplace();
    overflow->add(*worker.overflow_);
  }
  const auto text_of = [&](const Labels& labels) {
    LabelTexts text{{"reporter", "source"},
                    {"request_protocol", labels.call.grpc ? "grpc" : "http"},
                    {"response_code", std::to_string(labels.code)},
                    {"grpc_response_status", labels.call.status ? std::to_string(*labels.call.status) : ""},
                    {"response_flags", words(labels.flags)},
                    {"connection_security_policy", labels.mtls ? "mutual_tls" : "none"}};
    add_peer_labels(labels.source, labels.destination, labels.service, trust_domain, text);
    return text;
  };
  const auto add = [&](const LabelTexts& labels, const Series& series) {
    add_edge(labels, series.duration_ms, series.request_bytes, series.response_bytes, out);
  };
  for (const auto& [labels, series] : edges) add(text_of(labels), series);
  for (const auto& [key, histogram] : routes) {
    const LabelTexts labels{{"route", key.first}, {"response_code", std::to_string(key.second)}};
    out(histogram_of("leat_route_duration_milliseconds", labels, histogram));
  }
  if (!overflow) return;
  add(overflow_of(text_of({})), *overflow);
  out(histogram_of("leat_route_duration_milliseconds", overflow_of({{"route", ""}, {"response_code", ""}}),
                   overflow->duration_ms));
}

}  // namespace leat::proxy
