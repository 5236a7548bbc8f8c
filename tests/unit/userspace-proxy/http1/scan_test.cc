#include "userspace-proxy/http1/scan.h"

#include <doctest/doctest.h>

#include <string>

using namespace leat::http1;

TEST_CASE("sixteen bytes at a time stop where one at a time does, for every byte at every position") {
  const std::pair<const char* (*)(const char*, const char*), CharClass> scans[] = {
      {skip_text, kTextChar}, {skip_target, kTargetChar}, {skip_token, kTokenChar}, {skip_host, kHostChar}};
  for (const auto& [scan, which] : scans) {
    for (int byte = 0; byte < 256; ++byte) {
      for (size_t position = 0; position < 40; ++position) {
        std::string text(40, 'a');
        text[position] = static_cast<char>(byte);
        const char* begin = text.data();
        const char* end = begin + text.size();
        if (scan(begin, end) != skip(begin, end, which)) FAIL("class ", which, " byte ", byte, " at ", position);
      }
    }
  }
}
