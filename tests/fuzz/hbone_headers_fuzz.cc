// The `baggage` and `forwarded` headers of a stranger: what is read can be written, and then reads the same.
#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "userspace-proxy/hbone/headers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto baggage = leat::hbone::Baggage::parse(text)) {
    // Percent-encoding may triple a value, and so push the list beyond what is read again.
    if (const std::string again = baggage->write(); again.size() <= 4096) {
      LEAT_CHECK(leat::hbone::Baggage::parse(again) == baggage, "baggage that reads differently");
    }
  }
  if (const auto forwarded = leat::hbone::Forwarded::parse(text)) {
    LEAT_CHECK(leat::hbone::Forwarded::parse(forwarded->write()) == forwarded,
               "a forwarded header that reads differently");
  }
  return 0;
}
