// What a route makes of a request's address: another path for the server, or a Location for the client.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/regex.h"
#include "leat.pb.h"

namespace leat::proxy::route {

// The part of a path that a route's condition names.
struct MatchedPath {
  size_t bytes = 0;
  bool whole_segments = false;  // `bytes` ends at a '/' or at the path's end
};

// Longer ones are not written: what a server accepts is about that (http1's own limit of a target).
inline constexpr size_t kMaxPathBytes = 32 * 1024;

class PathRewrite {
 public:
  // A regular expression that does not compile, which the agent has let through, leaves paths as they are and is named
  // in `problem`.
  PathRewrite(const v1::Rewrite& rewrite, std::string* problem);

  // `path` is without its query; so is the result, which begins with '/'. Nothing: it would be too long.
  [[nodiscard]] std::optional<std::string> apply(std::string_view path, MatchedPath matched) const;

 private:
  v1::Rewrite::PathCase kind_;
  std::string text_;
  std::optional<Substitution> expression_;
};

class Redirect {
 public:
  explicit Redirect(const v1::Redirect& message);

  struct Asked {
    std::string_view scheme;
    std::string_view authority;
    std::string_view path;
    std::string_view query;
    uint16_t port = 0;  // that the client connected to
  };
  [[nodiscard]] std::string location(const Asked& asked, MatchedPath matched) const;
  [[nodiscard]] uint16_t code() const { return code_; }

 private:
  std::string scheme_, authority_, path_;  // empty: as it was
  uint16_t port_;                          // 0: none written
  uint16_t code_;
  bool path_is_prefix_, port_of_request_;
};

}  // namespace leat::proxy::route
