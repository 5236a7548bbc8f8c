#include "userspace-proxy/scrape/negotiate.h"

#include <doctest/doctest.h>

using namespace leat;
using namespace leat::proxy::scrape;

TEST_CASE("OpenMetrics goes to who wants it at least as much as text") {
  using enum ExpositionFormat;
  CHECK(choose_format("") == kPrometheus);
  CHECK(choose_format("*/*") == kPrometheus);
  CHECK(choose_format("text/html, application/openmetrics-text") == kOpenMetrics);
  // Prometheus 2 and 3.
  CHECK(choose_format(
            "application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5,"
            "text/plain;version=0.0.4;q=0.4,*/*;q=0.1") == kOpenMetrics);
  CHECK(choose_format("text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5") ==
        kPrometheus);
  CHECK(choose_format("application/openmetrics-text;version=0.0.1") == kPrometheus);
  CHECK(choose_format("application/openmetrics-text;q=0") == kPrometheus);
  CHECK(choose_format("application/OpenMetrics-Text ; VERSION=1.0.0") == kOpenMetrics);
}

TEST_CASE("gzip goes to who accepts it") {
  CHECK(accepts_gzip("gzip"));
  CHECK(accepts_gzip("deflate, GZIP;q=0.5"));
  CHECK_FALSE(accepts_gzip(""));
  CHECK_FALSE(accepts_gzip("gzip;q=0, deflate"));
  CHECK_FALSE(accepts_gzip("gzipped"));
}
