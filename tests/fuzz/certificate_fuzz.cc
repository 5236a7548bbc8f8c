// A stranger's certificate in DER: no bytes may lead to an identity that is not strict.
#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "userspace-proxy/tls/identity.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto read = leat::tls::read_certificate_der({reinterpret_cast<const char*>(data), size});
  if (read)
    LEAT_CHECK(leat::SpiffeId::parse(read->identity.text()).value() == read->identity,
               "an identity that is not strict");
  if (!read)
    LEAT_CHECK(read.error().kind != leat::tls::FailureKind::kNone && !read.error().message.empty(),
               "a refusal without a reason");
  return 0;
}
