#include "userspace-proxy/route/destination.h"

namespace leat::proxy::route {

Destination compile_destination(const v1::RouteDestination& message, const v1::HttpRoute& route, uint64_t end) {
  return {.service = message.service(),
          .port = static_cast<uint16_t>(message.port()),
          .subset = message.subset(),
          .end = end,
          .host = message.host(),
          .missing_status = static_cast<uint16_t>(message.missing_status() == 0 ? 503 : message.missing_status()),
          .edits = compile_edits(message.headers(), route.headers(), route.rewrite().authority())};
}

}  // namespace leat::proxy::route
