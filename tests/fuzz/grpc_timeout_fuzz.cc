// The grpc-timeout of a stranger: what is read is what was written, and what is written is read, never longer.
#include <cstdint>

#include "common/check.h"
#include "userspace-proxy/grpc/grpc.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto timeout = leat::grpc::parse_timeout(text);
  if (!timeout) return 0;
  LEAT_CHECK(timeout->count() >= 0, "a negative timeout");
  const auto again = leat::grpc::parse_timeout(leat::grpc::format_timeout(*timeout));
  LEAT_CHECK(again && (*again <= *timeout || timeout->count() == 0), "a longer timeout");
  return 0;
}
