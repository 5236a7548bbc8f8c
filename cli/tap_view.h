// Requests as rows and as JSON, for `leat tap`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/output.h"
#include "leat.pb.h"

namespace leat::cli {

struct TapFilter {
  std::string ns;       // of either side; empty: all, here and below
  std::string pod;      // of either side, NAME or NAMESPACE/NAME
  std::string service;  // NAME or NAMESPACE/NAME
  std::string method;
  std::string path;    // the beginning of it
  std::string status;  // 503, or 5xx
  [[nodiscard]] bool matches(const v1::TappedRequest& request) const;
};

// Whether it can be what TapFilter.status says.
bool is_status(const std::string& text);

Table tap_table(const std::vector<v1::TappedRequest>& requests, bool wide);
Json tap_json(const v1::TappedRequest& request);

}  // namespace leat::cli
