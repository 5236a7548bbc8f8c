// The routes of a Service, compiled from the mesh model once and read by all workers.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "leat.pb.h"
#include "userspace-proxy/resilience/retry_policy.h"
#include "userspace-proxy/route/actions.h"
#include "userspace-proxy/route/connection.h"
#include "userspace-proxy/route/destination.h"
#include "userspace-proxy/route/request.h"
#include "userspace-proxy/route/text_matcher.h"

namespace leat::proxy::route {

struct NamedMatcher {
  std::string name;
  TextMatcher value;
};

// All conditions of one `match` entry; absent ones hold.
class Matcher {
 public:
  Matcher(const v1::RouteMatch& match, std::vector<std::string>* problems);
  [[nodiscard]] bool matches(const Request& request, const Client& client) const;
  // Of the path of a request that matches. Without a condition on it that is the "/" that every path begins with, as in
  // Envoy.
  [[nodiscard]] MatchedPath matched_path(std::string_view path) const;

 private:
  std::optional<TextMatcher> uri_, scheme_, method_, authority_;
  std::vector<NamedMatcher> headers_, without_headers_, query_params_;
  uint16_t port_;  // 0: any
  std::vector<std::pair<std::string, std::string>> client_labels_;
  std::string client_namespace_;  // empty: any
};

struct Route {
  std::string name;
  std::string origin;                       // "VirtualService shop/backend"
  std::string label;                        // of its metrics: origin and name, or its place among the object's routes
  std::vector<Matcher> matches;             // none: every request
  std::vector<Destination> destinations;    // empty only where `actions` answer; the last one's `end` is never 0
  std::unique_ptr<const Actions> actions;   // null: none
  std::chrono::milliseconds timeout{};      // of a request, from its last byte to the response's; 0: none
  std::chrono::milliseconds hedge_after{};  // without an answer, until a second endpoint is asked as well; 0: never
  std::optional<RetryPolicy> retries = {};  // absent: the mesh's
};

struct Table {
  std::vector<std::string> visible_to;  // ascending; empty: all namespaces
  std::vector<Route> routes;
  std::vector<ConnectionRoute> connections;

  [[nodiscard]] bool is_visible_to(std::string_view client_namespace) const;
};

// All tables of a Service, the ones that come first first.
std::vector<Table> compile_tables(const v1::Service& service, std::vector<std::string>* problems);

}  // namespace leat::proxy::route
