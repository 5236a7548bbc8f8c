// What may come over cni.sock, on either side: what can be read says the same when it is written again.
#include <cstdint>
#include <string_view>

#include "common/cni_message.h"

using namespace leat::cni;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view packet(reinterpret_cast<const char*>(data), size);
  if (const auto request = decode_request(packet)) {
    const auto again = decode_request(encode(*request));
    if (!again || encode(*again) != encode(*request)) __builtin_trap();
  }
  if (const auto reply = decode_reply(packet)) {
    const auto again = decode_reply(encode(*reply));
    if (!again || again->code != reply->code) __builtin_trap();
  }
  return 0;
}
