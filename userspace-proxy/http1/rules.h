// What a head's fields mean for framing, routing and the connection, and when they contradict themselves. Private to
// http1.
#pragma once

#include "userspace-proxy/http1/fault.h"
#include "userspace-proxy/http1/head.h"

namespace leat::http1 {

// What a response means depends on its request.
struct Asked {
  bool head = false;
  bool connect = false;
  bool upgrade = false;  // 101 may follow
};

// Where the parts of a start line lie.
struct StartLine {
  Span first;   // a request's method
  Span second;  // a request's target, a response's reason
  uint16_t status = 0;
  bool http10 = false;
};

// Both fill in a head whose fields were parsed.
struct Rules {
  static Fault apply(RequestHead& head, const StartLine& line);
  static Fault apply(ResponseHead& head, const StartLine& line, Asked asked);

 private:
  static Fault find_target(RequestHead& head);
  static Fault find_authority(RequestHead& head);
  static Fault read_framing(const Fields& fields, Connection& connection);
  static Fault read_connection(Fields& fields, Connection& connection);
  static void drop(Fields& fields, std::string_view name);
};

// host [":" port], as Host has it: no user, no path.
bool is_authority(std::string_view text);

}  // namespace leat::http1
