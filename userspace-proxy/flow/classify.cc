#include "userspace-proxy/flow/classify.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "userspace-proxy/http1/limits.h"
#include "userspace-proxy/tls/client_hello.h"

namespace leat::proxy {
namespace {

constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0";
// RFC 9110, section 5.6.2: what a method is made of.
constexpr std::string_view kTokenCharacters =
    "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr size_t kLookedAt = http1::limits::kMethodBytes + 1;

std::string_view front_of(const ring::Chain& bytes, std::array<char, kLookedAt>& copy) {
  size_t size = 0;
  for (const ring::Buffer& slice : bytes.slices()) {
    const size_t part = std::min<size_t>(slice.size(), copy.size() - size);
    std::copy_n(slice.data(), part, copy.data() + size);
    size += part;
  }
  return {copy.data(), size};
}

}  // namespace

FirstBytes look_at(const ring::Chain& bytes) {
  std::array<char, kLookedAt> copy;
  const std::string_view text = front_of(bytes, copy);
  if (text.starts_with(kHttp2Preface)) return FirstBytes::kHttp2;
  if (kHttp2Preface.starts_with(text)) return FirstBytes::kUndecided;
  if (text.front() == tls::ClientHelloReader::kFirstByte) return FirstBytes::kTls;
  const size_t method_bytes = text.find_first_not_of(kTokenCharacters);
  if (method_bytes == std::string_view::npos) {
    return text.size() < kLookedAt ? FirstBytes::kUndecided : FirstBytes::kOpaque;
  }
  return method_bytes > 0 && text[method_bytes] == ' ' ? FirstBytes::kHttp1 : FirstBytes::kOpaque;
}

ring::Task<FirstBytes> classify(ring::Loop& loop, HttpClient& client, ring::Clock::time_point deadline) {
  ring::Timer patience(loop.timers(), [&] { client.stream().socket()->cancel_recv(); });
  if (deadline != ring::Clock::time_point::max()) patience.arm(deadline);
  ring::Chain bytes;
  FirstBytes kind = FirstBytes::kUndecided;
  while (kind == FirstBytes::kUndecided) {
    ring::IoResult<ring::Chain> got = co_await client.recv();
    if (!got || got->empty()) break;
    bytes.append(std::move(*got));
    kind = look_at(bytes);
  }
  client.put_back(std::move(bytes));
  co_return kind == FirstBytes::kUndecided ? FirstBytes::kOpaque : kind;
}

}  // namespace leat::proxy
