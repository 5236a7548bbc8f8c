#include "userspace-proxy/telemetry/span_queue.h"

#include <algorithm>
#include <ranges>

#include "userspace-proxy/limits.h"

namespace leat::proxy {
namespace {

void add_text(otlp::Resource& resource, const char* key, const std::string& value) {
  if (value.empty()) return;
  otlp::KeyValue& attribute = *resource.add_attributes();
  attribute.set_key(key);
  attribute.mutable_value()->set_string_value(value);
}

}  // namespace

void SpanQueue::add(const Workload& pod, otlp::Span span) {
  const auto open = std::ranges::find_if(std::views::reverse(batches_), [&](const Batch& batch) {
    return batch.pod.get() == &pod && batch.spans.size() < limits::kSpansABatch;
  });
  Batch& batch = open == batches_.rend() ? batches_.emplace_back(Batch{WorkloadRef(&pod), {}}) : *open;
  batch.spans.push_back(std::move(span));
  ++size_;
}

std::optional<SpanQueue::Batch> SpanQueue::take() {
  if (batches_.empty()) return std::nullopt;
  Batch batch = std::move(batches_.front());
  batches_.pop_front();
  size_ -= batch.spans.size();
  return batch;
}

std::string SpanQueue::Batch::serialize() const {
  otlp::ExportTraceServiceRequest request;
  otlp::ResourceSpans& of_pod = *request.add_resource_spans();
  otlp::Resource& resource = *of_pod.mutable_resource();
  add_text(resource, "service.name", pod->app.empty() ? pod->owner : pod->app);
  add_text(resource, "service.namespace", pod->namespace_);
  add_text(resource, "service.version", pod->version);
  add_text(resource, "service.instance.id", pod->uid);
  add_text(resource, "k8s.namespace.name", pod->namespace_);
  add_text(resource, "k8s.pod.name", pod->name);
  add_text(resource, "k8s.pod.uid", pod->uid);
  add_text(resource, "telemetry.sdk.name", "leat");
  otlp::ScopeSpans& scope = *of_pod.add_scope_spans();
  scope.mutable_scope()->set_name("leat-proxy");
  scope.mutable_scope()->set_version(LEAT_VERSION);
  scope.mutable_spans()->Add(spans.begin(), spans.end());
  return request.SerializeAsString();
}

}  // namespace leat::proxy
