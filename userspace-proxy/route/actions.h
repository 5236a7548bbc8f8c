// What a route does with a request besides sending it somewhere. Most routes do nothing of it and have none.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "leat.pb.h"
#include "userspace-proxy/route/cors.h"
#include "userspace-proxy/route/destination.h"
#include "userspace-proxy/route/uri.h"

namespace leat::proxy::route {

// A share of the requests. `random` is uniform over all 32 bits.
class Percentage {
 public:
  explicit Percentage(double percent = 0);
  [[nodiscard]] bool takes(uint32_t random) const { return random < below_; }
  [[nodiscard]] bool never() const { return below_ == 0; }

 private:
  uint64_t below_;
};

struct DirectResponse {
  uint16_t status = 200;
  std::string body;
};

// The delay comes first; both may happen to one request.
struct Fault {
  Percentage delay, abort;
  uint64_t delay_ms = 0;
  uint16_t abort_status = 0;  // of HTTP, 0: `abort_grpc_status`
  uint8_t abort_grpc_status = 0;
};

// Copies of a share of the requests go there too.
struct Mirror {
  Destination destination;
  Percentage share;
};

struct Actions {
  std::optional<Cors> cors;
  std::optional<PathRewrite> rewrite;
  std::optional<Redirect> redirect;
  std::optional<DirectResponse> direct_response;
  std::optional<Fault> fault;
  std::vector<Mirror> mirrors;
  std::unique_ptr<const HeaderEdits> edits;  // of a redirect and a direct response; null: none
};

// Null: the route only sends requests on. Problems are named in `problems`, a sentence each.
std::unique_ptr<const Actions> compile_actions(const v1::HttpRoute& route, std::vector<std::string>* problems);

}  // namespace leat::proxy::route
