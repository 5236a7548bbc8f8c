// What is seen of one HTTP request besides its metrics: its trace, its line in the access log, its place in `leat tap`.
// Where all of these are off it costs a look at a few flags.
#pragma once

#include <optional>

#include "userspace-proxy/flow/choose_target.h"
#include "userspace-proxy/flow/http_exchange.h"
#include "userspace-proxy/telemetry/observed_request.h"
#include "userspace-proxy/telemetry/tracer.h"

namespace leat::proxy {

class Worker;

class RequestObserver {
 public:
  RequestObserver(Worker& worker, const FlowRecord& record) : worker_(worker), record_(record) {}
  RequestObserver(const RequestObserver&) = delete;
  RequestObserver& operator=(const RequestObserver&) = delete;

  // The request's head is whole: it goes on with a trace. What is edited points into this.
  void begin(const http1::RequestHead& request, http1::HeadEdits& edits);
  // `target`: empty where none was chosen.
  void end(const HttpExchange& exchange, const RequestFacts& facts, Reason reason, const ChosenTarget& target);

 private:
  [[nodiscard]] bool anybody_looks() const;
  [[nodiscard]] ObservedRequest observe(const HttpExchange& exchange, const RequestFacts& facts) const;

  Worker& worker_;
  const FlowRecord& record_;
  std::optional<RequestTrace> trace_;  // nothing: tracing is off
};

}  // namespace leat::proxy
