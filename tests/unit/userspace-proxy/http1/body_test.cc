#include <doctest/doctest.h>

#include "tests/unit/userspace-proxy/http1/transcript.h"
#include "userspace-proxy/http1/limits.h"

using namespace leat::http1;

namespace {

// What a chunked body is read as, without its head.
std::string chunked(const std::string& body) {
  const std::string seen = testing::requests("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body);
  return seen.substr(seen.find("(hop)\n") + 6);
}

}  // namespace

TEST_CASE("chunks become what they carry") {
  CHECK(chunked("0\r\n\r\n") == "end\n");
  CHECK(chunked("3\r\nabc\r\n0A\r\n0123456789\r\n000\r\n\r\n") == "body abc0123456789\nend\n");
  CHECK(chunked("1;name=value;x=\"y;z\"\r\na\r\n0;last\r\n\r\n") == "body a\nend\n");
  CHECK(chunked("1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n") ==
        "body a\nend\nGET / @b framing=none keep-alive\n  Host=b\nend\n");
}

TEST_CASE("a chunk's size is a hexadecimal number and nothing else") {
  for (const char* size :
       {"", " 1", "1 ", "\t1", "1\t", "+1", "-1", "0x1", "1_0", "g", "1.", ";x", "1 ;x", "\xef\xbc\x91"}) {
    CAPTURE(size);
    CHECK(chunked(std::string(size) + "\r\na\r\n0\r\n\r\n") == "fault bad-chunk-size\n");
  }
  CHECK(chunked("1\na\r\n") == "fault bare-lf\n");
  CHECK(chunked("1\ra\r\n") == "fault bare-cr\n");
  CHECK(chunked("1000000000000001\r\n") == "fault body-too-large\n");
  CHECK(chunked("ffffffffffffffff\r\n") == "fault body-too-large\n");
  CHECK(chunked("00000000000000001\r\n") == "fault body-too-large\n");
  CHECK(chunked("0000000000000001\r\na\r\n0\r\n\r\n") == "body a\nend\n");
  CHECK(chunked("1000000000000000\r\n") == "fault truncated\n");
}

TEST_CASE("a chunk's data ends with CRLF exactly where its size says") {
  for (const char* body :
       {"1\r\nab\r\n0\r\n\r\n", "1\r\na\n0\r\n\r\n", "1\r\na0\r\n\r\n", "1\r\na\rx0\r\n\r\n", "1\r\na \r\n0\r\n\r\n"}) {
    CAPTURE(body);
    CHECK(chunked(body) == "body a\nfault no-line-end-after-chunk\n");
  }
  CHECK(chunked("2\r\na\r\n0\r\n\r\n") == "body a\r\nfault no-line-end-after-chunk\n");
}

TEST_CASE("extensions have no control characters and do not grow without end") {
  CHECK(chunked("1;a\nb\r\n") == "fault bare-lf\n");
  CHECK(chunked("1;a\rb\r\n") == "fault bare-cr\n");
  CHECK(chunked("1;a\x01\r\n") == "fault bad-chunk-extension\n");
  const auto extended = [](size_t size) { return "1;" + std::string(size, 'x') + "\r\na\r\n"; };
  CHECK(chunked(extended(limits::kChunkExtensionBytes) + "0\r\n\r\n") == "body a\nend\n");
  CHECK(chunked(extended(limits::kChunkExtensionBytes + 1) + "0\r\n\r\n") == "fault chunk-extension-too-large\n");
  std::string many;
  for (size_t i = 0; i < limits::kBodyExtensionBytes / limits::kChunkExtensionBytes; ++i) {
    many += extended(limits::kChunkExtensionBytes);
  }
  CHECK(chunked(many + "0\r\n\r\n").ends_with("end\n"));
  CHECK(chunked(many + "0;x\r\n\r\n").ends_with("fault chunk-extension-too-large\n"));
}

TEST_CASE("trailers that would change framing, routing or identity late are gone") {
  CHECK(chunked("0\r\nX-Sum: 1\r\nContent-Length: 5\r\nHost: evil\r\nTransfer-Encoding: x\r\nAuthorization: x\r\n"
                "Set-Cookie: x\r\nConnection: close\r\ngrpc-status: 0\r\n\r\n") == "  X-Sum=1\n  grpc-status=0\nend\n");
}

TEST_CASE("trailers are held to a head's rules") {
  CHECK(chunked("0\r\nX : y\r\n\r\n") == "fault blank-before-colon\n");
  CHECK(chunked("0\r\n X: y\r\n\r\n") == "fault folded-line\n");
  CHECK(chunked("0\r\nX: y\n\r\n") == "fault bare-lf\n");
  CHECK(chunked("0\r\nX\r\n\r\n") == "fault bad-field-name\n");
  CHECK(chunked("0\r\nX: y\r\n\rz") == "fault bare-cr\n");
  const auto trailer = [](size_t section) { return "0\r\nX: " + std::string(section - 7, 'y') + "\r\n\r\n"; };
  CHECK(chunked(trailer(limits::kTrailerBytes)).ends_with("end\n"));
  CHECK(chunked(trailer(limits::kTrailerBytes + 1)) == "fault trailers-too-large\n");
  std::string many = "0\r\n";
  for (size_t i = 0; i <= limits::kFields; ++i) many += "a: b\r\n";
  CHECK(chunked(many + "\r\n") == "fault too-many-fields\n");
}

TEST_CASE("a body's slices move and are not copied") {
  leat::ring::Chain input;
  leat::ring::Chain body;
  testing::append_slice(input,
                        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n");
  const uint8_t* bytes = input.slices().front().data();
  const size_t head = testing::text_of(input).find("\r\n\r\n") + 4;
  RequestReader reader;
  CHECK(reader.read(input, body) == Step::kHead);
  CHECK(reader.read(input, body) == Step::kNeedMore);
  REQUIRE(body.slices().size() == 2);
  CHECK(body.slices()[0].data() == bytes + head + 3);
  CHECK(body.slices()[1].data() == bytes + head + 11);
  CHECK(reader.body_bytes() == 5);
}

TEST_CASE("trailers of one message are not the next one's") {
  CHECK(chunked("0\r\nX: y\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nZ: z\r\n\r\n")
            .ends_with("(hop)\n  Z=z\nend\n"));
}
