// Which requests and connections an access log has: a small part of CEL, checked by control/ and run by the proxy.
//
//   response.code >= 400 && !request.url_path.startsWith('/healthz')
//
// Attributes: response.code, response.size, request.size, request.total_size, request.duration_ms (numbers);
// request.method, request.path (with the query), request.url_path (without), request.host, request.protocol,
// request.useragent, request.headers['name'] (texts); connection.mtls (true or false). With == != < <= > >=,
// .startsWith() .endsWith() .contains() .matches(), in [ … ], 'name' in request.headers, has(attribute), && || ! and
// parentheses.
// A part that asks for what is not there (an HTTP attribute of a TCP connection) is neither true nor false, as in CEL;
// if the whole is neither, nothing is logged.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "common/result.h"

namespace leat {

// What is known of one request or connection.
struct AccessFacts {
  std::optional<int64_t> response_code;
  int64_t response_size = 0;
  int64_t request_size = 0;
  int64_t duration_ms = 0;
  bool mtls = false;
  bool http = false;  // the texts below mean something
  std::string_view method, path, host, protocol;
  // The value of a request's header, its name in lower case.
  std::optional<std::string_view> (*header)(const void* request, std::string_view name) = nullptr;
  const void* request = nullptr;
};

class AccessFilter {
 public:
  struct Expression;

  // kInvalid with what is not understood.
  static Result<AccessFilter> compile(std::string_view expression);
  AccessFilter(AccessFilter&&) noexcept;
  AccessFilter& operator=(AccessFilter&&) noexcept;
  ~AccessFilter();

  [[nodiscard]] bool admits(const AccessFacts& facts) const;

 private:
  explicit AccessFilter(std::unique_ptr<const Expression> root);
  std::unique_ptr<const Expression> root_;
};

}  // namespace leat
