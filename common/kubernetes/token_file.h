// The bearer token of a service account, which the kubelet replaces on disk long before it runs out.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace leat::kubernetes {

class TokenFile {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::minutes kReadAgain{1};

  explicit TokenFile(std::string path) : path_(std::move(path)) {}

  // Empty where there is none. One that can't be read any more is kept: it may still hold.
  const std::string& get(Clock::time_point now);
  void forget() { read_at_.reset(); }  // the server does not take it: read it again at the next get()

 private:
  std::string path_;
  std::string token_;
  std::optional<Clock::time_point> read_at_;
};

}  // namespace leat::kubernetes
