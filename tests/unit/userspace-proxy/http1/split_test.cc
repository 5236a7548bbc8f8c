// However bytes are cut into slices, they mean the same.
#include <doctest/doctest.h>

#include <random>

#include "tests/unit/userspace-proxy/http1/transcript.h"

using namespace leat::http1;

namespace {

const std::string kRequests[] = {
    "\r\nPOST http://shop:80/a?b HTTP/1.1\r\nHost: shop:80\r\nConnection: x, keep-alive\r\nX: y z\t\r\nEmpty:\r\n"
    "Transfer-Encoding: chunked\r\n\r\n5;ext=\"1\"\r\nhello\r\n0b\r\n, big world\r\n0\r\nTrailer-One: 1\r\nHost: "
    "no\r\n\r\n"
    "GET /2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n0123456789OPTIONS * HTTP/1.1\r\n"
    "Host: [::1]:80\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02raw",
};
const std::string kResponses[] = {
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n00\r\nA: b\r\n\r\n"
    "HTTP/1.1 304\r\nContent-Length: 7\r\n\r\nHTTP/1.0 500 Oh dear \r\nX: y\r\n\r\nuntil the close",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nA : b\r\n\r\n",
};

template <typename Messages>
void cut_everywhere(const std::string& bytes) {
  const std::string whole = testing::transcript(Messages(), bytes);
  for (size_t first = 1; first <= bytes.size(); ++first) {
    size_t pieces = 0;
    const auto cut = [&] { return pieces++ == 0 ? first : bytes.size(); };
    if (testing::transcript(Messages(), bytes, cut) != whole) FAIL("cut at ", first, " of ", bytes);
  }
  CHECK(testing::transcript(Messages(), bytes, [] { return 1; }) == whole);
}

template <typename Messages>
void cut_at_random(const std::string& bytes, std::mt19937& random) {
  const std::string whole = testing::transcript(Messages(), bytes);
  std::uniform_int_distribution<size_t> piece(1, 40);
  const auto cut = [&] { return piece(random); };
  if (testing::transcript(Messages(), bytes, cut) != whole) FAIL("random cuts change ", bytes);
}

// Some bytes gone, doubled or changed, to see that faults do not depend on the cuts either.
std::string damaged(std::string bytes, std::mt19937& random) {
  constexpr std::string_view kOdd{"\r\n\0 \t:;,0a\x7f\x80#", 13};
  const auto any = [&](size_t below) { return std::uniform_int_distribution<size_t>(0, below - 1)(random); };
  for (size_t i = any(4); i > 0 && !bytes.empty(); --i) {
    const size_t at = any(bytes.size());
    switch (any(3)) {
      case 0:
        bytes.erase(at, 1 + any(3));
        break;
      case 1:
        bytes.insert(at, 1, kOdd[any(kOdd.size())]);
        break;
      default:
        bytes[at] = kOdd[any(kOdd.size())];
    }
  }
  return bytes;
}

}  // namespace

TEST_CASE("messages cut in two at any place, or into single bytes, mean the same") {
  for (const std::string& bytes : kRequests) cut_everywhere<testing::Requests>(bytes);
  for (const std::string& bytes : kResponses) cut_everywhere<testing::Responses>(bytes);
}

TEST_CASE("messages, whole or damaged, cut at random mean the same") {
  constexpr uint32_t kSeed = 9112;
  INFO("seed ", kSeed);
  std::mt19937 random(kSeed);
  for (int round = 0; round < 2000; ++round) {
    for (const std::string& bytes : kRequests) cut_at_random<testing::Requests>(damaged(bytes, random), random);
    for (const std::string& bytes : kResponses) cut_at_random<testing::Responses>(damaged(bytes, random), random);
  }
}

TEST_CASE("a head of 60 KiB that comes byte by byte means the same") {
  const std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\nCookie: " + std::string(60000, 'c') + "\r\n\r\n";
  CHECK(testing::transcript(testing::Requests(), bytes, [] { return 1; }) == testing::requests(bytes));
}
