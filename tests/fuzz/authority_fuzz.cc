// A CONNECT's :authority: what is accepted survives the trip through text.
#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "common/ip.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto address = leat::SocketAddress::parse({reinterpret_cast<const char*>(data), size});
  if (address)
    LEAT_CHECK(leat::SocketAddress::parse(address->text()) == address, "an address that its own text is not");
  return 0;
}
