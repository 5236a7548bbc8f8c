#include "cli/units.h"

#include <doctest/doctest.h>

using namespace leat::cli;

TEST_CASE("bytes have at most three digits and the unit that fits") {
  CHECK(humanise_bytes(0) == "0 B");
  CHECK(humanise_bytes(1023) == "1023 B");
  CHECK(humanise_bytes(1024) == "1.0 KiB");
  CHECK(humanise_bytes(10'188) == "9.9 KiB");
  CHECK(humanise_bytes(10'200) == "10 KiB");
  CHECK(humanise_bytes(1023 * 1024) == "1.0 MiB");
  CHECK(humanise_bytes(1ull << 30) == "1.0 GiB");
  CHECK(humanise_bytes(UINT64_MAX) == "16 EiB");
}

TEST_CASE("a time has one unit, coarse enough to read and fine enough to tell") {
  CHECK(humanise_ms(-5) == "0s");
  CHECK(humanise_ms(0) == "0s");
  CHECK(humanise_ms(340) == "340ms");
  CHECK(humanise_ms(8'200) == "8s");
  CHECK(humanise_ms(119'000) == "119s");
  CHECK(humanise_ms(120'000) == "2m");
  CHECK(humanise_ms(3 * 3'600'000) == "3h");
  CHECK(humanise_ms(72 * 3'600'000ll) == "3d");
}
