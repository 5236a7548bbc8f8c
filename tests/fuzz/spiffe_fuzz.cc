// A SPIFFE ID from a stranger's certificate: what is accepted is exactly what it reads as.
#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "common/spiffe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto id = leat::SpiffeId::parse(text);
  if (!id) return 0;
  LEAT_CHECK(id->text() == text, "two texts for one identity");
  LEAT_CHECK(leat::SpiffeId::make(id->trust_domain, id->ns, id->service_account).has_value(),
             "parts that do not make their whole");
  return 0;
}
