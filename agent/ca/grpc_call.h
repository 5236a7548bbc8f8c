// One unary gRPC call as HTTP/2 carries it, without a socket: the message in its frame, and what an answer means. So
// the agent speaks with a CA by the HTTP client that it has, and needs no second one with threads of its own.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace leat::ca {

// The length-prefixed message that a request's body is.
std::string grpc_frame(std::string_view message);

// What came: fields of head and trailers, and the body.
class GrpcAnswer {
 public:
  // A line of a head or of trailers, as HTTP clients give it: "name: value\r\n".
  void add_field(std::string_view line);
  std::string body;

  // The message. Else the CA's own words: kDenied (the caller is not who it should be, or may not have this), kInvalid
  // (the request), kExhausted, kUnsupported (no such service there), kTimeout for all that may pass.
  [[nodiscard]] Result<std::string> message(int http_status) const;
  [[nodiscard]] bool is_unauthenticated() const;

 private:
  std::string status_;   // grpc-status; empty: none came
  std::string message_;  // grpc-message, decoded
};

}  // namespace leat::ca
