// One HTTP request at its end, or one connection: what spans, the access log and `leat tap` are made from. All of it is
// borrowed.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "userspace-proxy/telemetry/flow_table.h"
#include "userspace-proxy/telemetry/reason.h"
#include "userspace-proxy/telemetry/request_metrics.h"
#include "userspace-proxy/telemetry/tracer.h"

namespace leat::proxy {

// The fields of a message's head, whatever version of HTTP they came in.
struct HeadFields {
  std::optional<std::string_view> (*find)(const void* fields, std::string_view lower_case_name) = nullptr;
  const void* fields = nullptr;
  [[nodiscard]] std::optional<std::string_view> get(std::string_view name) const {
    return find ? find(fields, name) : std::nullopt;
  }
};

struct ObservedRequest {
  const FlowFacts* flow = nullptr;                     // of its connection, never null; it says where the last try went
  bool http = false;                                   // what follows means something; else it is a connection
  std::string_view method, authority, path, protocol;  // path: with its query; empty where the request was no valid one
  HeadFields request_fields, response_fields;
  std::string_view route;  // its name; empty: none
  std::string_view subset;
  const RequestTrace* trace = nullptr;  // null: it carries none
  std::chrono::system_clock::time_point started;
  std::chrono::nanoseconds took{0};
  uint64_t request_bytes = 0, response_bytes = 0;
  uint16_t code = 0;  // that the client got; 0: none
  Call call = {};     // of gRPC
  ResponseFlags flags = ResponseFlag::kNone;
  Reason reason = Reason::kNone;  // of an answer made here, or of an end before its time

  // Bytes went, or were to go, to an endpoint.
  [[nodiscard]] bool tried() const { return flow->attempts > 0; }
};

}  // namespace leat::proxy
