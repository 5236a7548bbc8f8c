#include "userspace-proxy/http1/name.h"

#include <doctest/doctest.h>

#include <string>

using leat::http1::classify;
using leat::http1::Name;

TEST_CASE("a known name is known in any case, and nothing that is nearly it") {
  const std::pair<const char*, Name> known[] = {{"host", Name::kHost},
                                                {"te", Name::kTe},
                                                {"expect", Name::kExpect},
                                                {"upgrade", Name::kUpgrade},
                                                {"connection", Name::kConnection},
                                                {"content-length", Name::kContentLength},
                                                {"transfer-encoding", Name::kTransferEncoding},
                                                {"http2-settings", Name::kHttp2Settings},
                                                {"content-range", Name::kContentRange},
                                                {"cache-control", Name::kCacheControl},
                                                {"proxy-authorization", Name::kProxyAuthorization}};
  for (const auto& [text, name] : known) {
    CAPTURE(text);
    std::string changed = text;
    CHECK(classify(changed) == name);
    for (char& c : changed) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 0x20);
    }
    CHECK(classify(changed) == name);
    for (char& c : changed) {
      const char kept = c;
      c = '_';
      CHECK(classify(changed) == Name::kOther);
      c = kept;
    }
    CHECK(classify(changed + "s") == Name::kOther);
    CHECK(classify(changed.substr(1)) == Name::kOther);
  }
  CHECK(classify("") == Name::kOther);
  CHECK(classify("x") == Name::kOther);
}
