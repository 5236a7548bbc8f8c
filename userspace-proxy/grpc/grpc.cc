#include "userspace-proxy/grpc/grpc.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

namespace leat::grpc {
namespace {

using std::chrono::nanoseconds;

struct Unit {
  char letter;
  int64_t nanoseconds;
};
// The finest first.
constexpr Unit kUnits[] = {
    {'n', 1}, {'u', 1'000}, {'m', 1'000'000}, {'S', 1'000'000'000}, {'M', 60'000'000'000}, {'H', 3'600'000'000'000}};
constexpr size_t kDigits = 8;
constexpr int64_t kMaxNumber = 99'999'999;

}  // namespace

bool is_grpc(const http1::Fields& fields) {
  constexpr std::string_view kType = "application/grpc";
  const http1::Field* type = fields.find(http1::Name::kContentType);
  if (type == nullptr) return false;
  const std::string_view text = fields.value(*type);
  if (!http1::equal_ignoring_case(text.substr(0, kType.size()), kType)) return false;
  return text.size() == kType.size() || text[kType.size()] == '+' || text[kType.size()] == ';';
}

std::optional<Status> status_of(const http1::Fields& fields) {
  const auto text = fields.get("grpc-status");
  if (!text || text->empty() || text->size() > 2) return std::nullopt;
  uint8_t number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc() || end != text->data() + text->size() || number >= kStatuses) return std::nullopt;
  return static_cast<Status>(number);
}

std::optional<nanoseconds> parse_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > kDigits + 1) return std::nullopt;
  const auto unit = std::ranges::find(kUnits, text.back(), &Unit::letter);
  if (unit == std::end(kUnits)) return std::nullopt;
  int64_t number = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  // 99,999,999 hours are more than nanoseconds can count.
  if (number > nanoseconds::max().count() / unit->nanoseconds) return nanoseconds::max();
  return nanoseconds(number * unit->nanoseconds);
}

std::string format_timeout(nanoseconds timeout) {
  const int64_t count = std::max<int64_t>(timeout.count(), 1);
  const auto unit =
      std::ranges::find_if(kUnits, [&](const Unit& each) { return count / each.nanoseconds <= kMaxNumber; });
  return fmt::format("{}{}", count / unit->nanoseconds, unit->letter);
}

Status status_of_http(uint16_t status) {
  switch (status) {
    case 400:
    case 431:
      return Status::kInternal;
    case 401:
      return Status::kUnauthenticated;
    case 403:
      return Status::kPermissionDenied;
    case 404:
      return Status::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return Status::kUnavailable;
    default:
      return Status::kUnknown;
  }
}

Status status_of_reset(uint32_t code) {
  switch (code) {
    case 7:  // REFUSED_STREAM
      return Status::kUnavailable;
    case 8:  // CANCEL
      return Status::kCancelled;
    case 11:  // ENHANCE_YOUR_CALM
      return Status::kResourceExhausted;
    case 12:  // INADEQUATE_SECURITY
      return Status::kPermissionDenied;
    default:
      return Status::kInternal;
  }
}

std::string encode_message(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = c >= ' ' && c <= '~' && c != '%';
    plain ? encoded.push_back(c)
          : void(fmt::format_to(std::back_inserter(encoded), "%{:02X}", static_cast<uint8_t>(c)));
  }
  return encoded;
}

}  // namespace leat::grpc
