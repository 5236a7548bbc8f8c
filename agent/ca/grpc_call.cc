#include "agent/ca/grpc_call.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace leat::ca {
namespace {

constexpr size_t kFrameHead = 5;      // compressed or not, and the length: 4 bytes, big endian
constexpr size_t kLongestText = 500;  // of a message for a person
enum GrpcStatus {
  kOk = 0,
  kInvalidArgument = 3,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kUnimplemented = 12,
  kUnauthenticated = 16
};

// gRPC percent-encodes what is not printable ASCII; what still isn't then ends on a terminal as `?`.
std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size() && out.size() < kLongestText; ++i) {
    unsigned value = static_cast<unsigned char>(text[i]);
    if (text[i] == '%' && i + 2 < text.size()) {
      const char* hex = text.data() + i + 1;
      if (std::from_chars(hex, hex + 2, value, 16).ptr == hex + 2) i += 2;
    }
    out += value < 0x20 || value == 0x7f ? '?' : static_cast<char>(value);
  }
  return out;
}

ErrorCode code_of(int status) {
  switch (status) {
    case kInvalidArgument:
      return ErrorCode::kInvalid;
    case kPermissionDenied:
    case kUnauthenticated:
      return ErrorCode::kDenied;
    case kResourceExhausted:
      return ErrorCode::kExhausted;
    case kUnimplemented:
      return ErrorCode::kUnsupported;
    default:
      return ErrorCode::kTimeout;
  }
}

}  // namespace

std::string grpc_frame(std::string_view message) {
  std::string frame(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>((message.size() >> shift) & 0xff);
  frame += message;
  return frame;
}

void GrpcAnswer::add_field(std::string_view line) {
  const size_t colon = line.find(':', 1);
  if (colon == std::string_view::npos) return;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == '\r' || value.back() == '\n' || value.back() == ' '))
    value.remove_suffix(1);
  if (name == "grpc-status") status_ = value;
  if (name == "grpc-message") message_ = decoded(value);
}

bool GrpcAnswer::is_unauthenticated() const { return status_ == std::to_string(kUnauthenticated); }

Result<std::string> GrpcAnswer::message(int http_status) const {
  if (http_status != 200)
    return fail(ErrorCode::kUnsupported, "it answered with HTTP {}, which is no gRPC", http_status);
  int status = -1;
  std::from_chars(status_.data(), status_.data() + status_.size(), status);
  if (status_.empty() || status < 0) return fail(ErrorCode::kTimeout, "its answer was cut off");
  if (status != kOk)
    return fail(code_of(status), "{}", message_.empty() ? fmt::format("gRPC status {}", status) : message_);
  if (body.size() < kFrameHead || body[0] != 0) return fail(ErrorCode::kProtocol, "its answer is no gRPC message");
  uint32_t length = 0;
  for (size_t i = 1; i < kFrameHead; ++i) length = length << 8 | static_cast<unsigned char>(body[i]);
  if (length != body.size() - kFrameHead) return fail(ErrorCode::kProtocol, "its answer is not one gRPC message");
  return body.substr(kFrameHead);
}

}  // namespace leat::ca
