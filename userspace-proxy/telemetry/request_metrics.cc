#include "userspace-proxy/telemetry/request_metrics.h"

#include <algorithm>
#include <numeric>

namespace leat::proxy {
namespace {

constexpr std::string_view kOverflow = "overflow";

void add_histogram(const char* name, const LabelTexts& labels, const Histogram& histogram,
                   std::vector<v1::Counter>* out) {
  v1::Histogram& message = *add_counter(name, labels, out).mutable_histogram();
  message.mutable_bounds()->Add(Histogram::kBounds.begin(), Histogram::kBounds.end());
  message.mutable_counts()->Add(histogram.counts.begin(), histogram.counts.end());
  message.set_sum(histogram.sum);
}

}  // namespace

void Histogram::add(double value) {
  ++counts[static_cast<size_t>(std::ranges::lower_bound(kBounds, value) - kBounds.begin())];
  sum += value;
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
  const Key key{request.source, request.destination, request.service, request.security,
                request.flags,  request.code,        request.call};
  if (const auto known = shortcuts_.find(key); known != shortcuts_.end()) return *known->second.series;
  Series& series = find_or_add(request);
  if (shortcuts_.size() == limits::kRequestShortcuts) shortcuts_.clear();
  shortcuts_.emplace(key, Shortcut{&series, WorkloadRef(request.source), WorkloadRef(request.destination),
                                   ServiceRef(request.service)});
  return series;
}

RequestMetrics::Series& RequestMetrics::find_or_add(const RequestFacts& request) {
  Labels labels{.source = Peer::of(request.source),
                .destination = Peer::of(request.destination),
                .service = request.service ? request.service->key : "",
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

// ---------------------------------------------------------------- the report

void RequestMetrics::report(std::string_view trust_domain, std::vector<v1::Counter>* out) const {
  for (const auto& [labels, series] : series_) append(text_of(labels, trust_domain), series, out);
  if (overflow_) append(overflow_text(), *overflow_, out);
}

void RequestMetrics::append(const LabelTexts& labels, const Series& series, std::vector<v1::Counter>* out) {
  add_counter("istio_requests_total", labels, out).set_value(static_cast<double>(series.duration_ms.count()));
  add_histogram("istio_request_duration_milliseconds", labels, series.duration_ms, out);
  add_histogram("istio_request_bytes", labels, series.request_bytes, out);
  add_histogram("istio_response_bytes", labels, series.response_bytes, out);
}

LabelTexts RequestMetrics::text_of(const Labels& labels, std::string_view trust_domain) {
  LabelTexts text{{"reporter", "source"},
                  {"request_protocol", labels.call.grpc ? "grpc" : "http"},
                  {"response_code", std::to_string(labels.code)},
                  {"grpc_response_status", labels.call.status ? std::to_string(*labels.call.status) : ""},
                  {"response_flags", words(labels.flags)},
                  {"connection_security_policy", labels.mtls ? "mutual_tls" : "none"}};
  add_peer_labels(labels.source, labels.destination, labels.service, trust_domain, text);
  return text;
}

// The labels of every series, so that a query over them finds this one too.
LabelTexts RequestMetrics::overflow_text() {
  LabelTexts text = text_of({}, "");
  for (auto& [name, value] : text) {
    if (name != "reporter" && name != "request_protocol" && name != "grpc_response_status") value = kOverflow;
  }
  return text;
}

}  // namespace leat::proxy
