// Heads out of names and values, as HTTP/2 brings them: in the text that they would have had in HTTP/1.1, and by the
// same rules. What HTTP/1.1 could read as something else than was meant (a line end in a value, a length that is none,
// a field of the connection) is a fault, so that no request can be smuggled through the translation.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "userspace-proxy/http1/fault.h"
#include "userspace-proxy/http1/head.h"
#include "userspace-proxy/http1/rules.h"

namespace leat::http1 {

class HeadBuilder {
 public:
  enum class Kind : uint8_t { kRequest, kResponse, kTrailers };

  // Another section: what was added and not finished is gone.
  void begin(Kind kind);
  // Pseudo-headers (RFC 9113, section 8.3) come first, each once, as their codec has checked.
  void add(std::string_view name, std::string_view value);
  // The section is over: fills in `head`, whose former text is gone. `ended`: so is the message. A request's body
  // without a length has Framing::kChunked, for that is what it becomes in HTTP/1.1.
  [[nodiscard]] Fault finish(RequestHead& head, bool ended);
  [[nodiscard]] Fault finish(ResponseHead& head, Asked asked, bool ended);
  // Without what no trailer may carry.
  [[nodiscard]] Fault finish(Fields& trailers);

 private:
  void add_pseudo(std::string_view name, std::string_view value);
  void begin_fields();
  void put_start_line();
  void append(std::string_view name, std::string_view value);
  void close_section(Fields& fields);
  void refuse(Fault fault) {
    if (fault_ == Fault::kNone) fault_ = fault;
  }

  Kind kind_ = Kind::kTrailers;
  Fault fault_ = Fault::kNone;
  bool in_fields_ = false;  // the start line stands
  StartLine line_;
  Fields fields_;
  std::string method_;
  std::string path_;
  std::string authority_;
  std::string cookie_;  // crumbs of it so far (RFC 9113, section 8.2.3)
};

}  // namespace leat::http1
