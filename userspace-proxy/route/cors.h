// Which pages of other origins may see a Service's answers: the proxy says so in the answers, and answers the questions
// (preflights) that browsers ask beforehand. As Envoy does it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "leat.pb.h"
#include "userspace-proxy/route/text_matcher.h"

namespace leat::proxy::route {

class Cors {
 public:
  Cors(const v1::Cors& message, std::vector<std::string>* problems);

  // Views of the request's headers, nothing where it has none; "*" stands for itself.
  struct Asked {
    std::string_view method;
    std::optional<std::string_view> origin;
    std::optional<std::string_view> requested_method;   // access-control-request-method
    std::optional<std::string_view> requested_headers;  // access-control-request-headers
  };
  enum class Kind : uint8_t {
    kNone,              // passes as if there was no policy
    kAllowed,           // goes on; its answer says so
    kPreflight,         // is answered here with what is allowed
    kRefusedPreflight,  // is answered here, and nothing is allowed
  };
  [[nodiscard]] Kind judge(const Asked& asked) const;

  // Calls set(name, value) for each field of the answer. Values live as long as this and `asked`.
  template <typename Set>
  void describe(Kind kind, const Asked& asked, Set set) const {
    if (kind != Kind::kAllowed && kind != Kind::kPreflight) return;
    set("access-control-allow-origin", *asked.origin);
    if (credentials_) set("access-control-allow-credentials", "true");
    if (kind == Kind::kAllowed) {
      if (!expose_headers_.empty()) set("access-control-expose-headers", expose_headers_);
      return;
    }
    const auto set_list = [&](std::string_view name, std::string_view list, std::optional<std::string_view> wanted) {
      // With credentials browsers read a star as the name "*".
      if (credentials_ && list == "*") list = wanted.value_or("");
      if (!list.empty()) set(name, list);
    };
    set_list("access-control-allow-methods", methods_, asked.requested_method);
    set_list("access-control-allow-headers", headers_, asked.requested_headers);
    if (!max_age_.empty()) set("access-control-max-age", max_age_);
  }

 private:
  [[nodiscard]] bool allows(std::string_view origin) const;

  std::vector<TextMatcher> origins_;
  std::string methods_, headers_, expose_headers_, max_age_;  // as they are written; empty: not at all
  bool credentials_;
  bool forward_unmatched_;
};

}  // namespace leat::proxy::route
