// The first bytes of a client that may speak TLS: whatever they are and however they are cut, the reader says the same
// of them, and a name that it reads is one of DNS.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "userspace-proxy/tls/client_hello.h"

using namespace leat::tls;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::span<const uint8_t> bytes(data, size);
  ClientHelloReader whole;
  whole.feed(bytes);
  ClientHelloReader pieces;
  const size_t step = 1 + data[size - 1] % 64;
  for (size_t at = 0; at < size; at += step) pieces.feed(bytes.subspan(at, std::min(step, size - at)));
  LEAT_CHECK(whole.state() == pieces.state(), "a cut changes what the bytes are");
  LEAT_CHECK(whole.server_name() == pieces.server_name(), "a cut changes the name");
  LEAT_CHECK(whole.server_name().empty() || whole.state() == ClientHelloReader::State::kWhole, "a name of no hello");
  LEAT_CHECK(std::ranges::all_of(whole.server_name(),
                                 [](char letter) {
                                   return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') ||
                                          letter == '-' || letter == '.' || letter == '_';
                                 }),
             "a name that is none of DNS");
  return 0;
}
