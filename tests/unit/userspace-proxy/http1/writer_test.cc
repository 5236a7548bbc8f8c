#include "userspace-proxy/http1/writer.h"

#include <doctest/doctest.h>

#include "tests/unit/userspace-proxy/http1/transcript.h"

using namespace leat::http1;
using testing::pool;
using testing::text_of;

namespace {

std::string rewritten(std::string_view bytes, const RequestEdits& edits = {}) {
  RequestReader reader;
  leat::ring::Chain input;
  leat::ring::Chain out;
  testing::append_slice(input, bytes);
  REQUIRE(reader.read(input, out) == Step::kHead);
  REQUIRE(write_request(out, pool(), reader.head(), edits));
  return text_of(out);
}

std::string answered(std::string_view bytes, Client client, Asked asked = {}, const Edits& edits = {}) {
  ResponseReader reader(asked);
  leat::ring::Chain input;
  leat::ring::Chain out;
  testing::append_slice(input, bytes);
  REQUIRE(reader.read(input, out) == Step::kHead);
  REQUIRE(write_response(out, pool(), reader.head(), client, edits));
  return text_of(out);
}

}  // namespace

TEST_CASE("a request goes on byte for byte but for what ends at this hop") {
  CHECK(rewritten("GET /a HTTP/1.1\r\nHost: a\r\nX:y\r\n\r\n") == "GET /a HTTP/1.1\r\nHost: a\r\nX:y\r\n\r\n");
  CHECK(rewritten("GET / HTTP/1.1\r\nConnection: close, p\r\nHost: a\r\nP: 1\r\nKeep-Alive: 5 \t\r\nX:  y \r\n"
                  "Proxy-Authorization: x\r\nUpgrade: h2c\r\nCookie: c\r\nTE: gzip\r\n\r\n") ==
        "GET / HTTP/1.1\r\nHost: a\r\nX:  y \r\nCookie: c\r\n\r\n");
  CHECK(rewritten("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n") ==
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  CHECK(rewritten("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n") ==
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n");
}

TEST_CASE("what the connection to the server is asked for is written anew") {
  CHECK(rewritten("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n") ==
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nconnection: upgrade\r\n\r\n");
  CHECK(rewritten("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
                  {.upgrade = false}) == "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(rewritten("GET / HTTP/1.1\r\nHost: a\r\nTE: gzip, trailers\r\n\r\n", {.close = true}) ==
        "GET / HTTP/1.1\r\nHost: a\r\nte: trailers\r\nconnection: close, te\r\n\r\n");
}

TEST_CASE("a server gets origin form and HTTP/1.1") {
  CHECK(rewritten("GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n") == "GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(rewritten("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n") == "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(rewritten("GET /x HTTP/1.0\r\nX: y\r\nExpect: 100-continue\r\n\r\n") ==
        "GET /x HTTP/1.1\r\nX: y\r\nhost: \r\n\r\n");
  const FieldLine host{"host", "b"};
  CHECK(rewritten("GET /x HTTP/1.0\r\n\r\n", {.fields = {.add = {&host, 1}}}) == "GET /x HTTP/1.1\r\nhost: b\r\n\r\n");
  CHECK(rewritten("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n") == "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(rewritten("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n") == "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
}

TEST_CASE("edits remove, replace and add fields, and change the target") {
  const std::string_view remove[] = {"x-a", "ABSENT"};
  const FieldLine set[] = {{"host", "b"}, {"x-new", "1"}};
  const FieldLine add[] = {{"x-b", "3"}};
  CHECK(rewritten("GET /x HTTP/1.1\r\nX-A: 1\r\nHost: a\r\nX-B: 2\r\nx-a: 1\r\nX-C: 4\r\n\r\n",
                  {.target = "/y?z", .fields = {.remove = remove, .set = set, .add = add}}) ==
        "GET /y?z HTTP/1.1\r\nX-B: 2\r\nX-C: 4\r\nhost: b\r\nx-new: 1\r\nx-b: 3\r\n\r\n");
}

TEST_CASE("a response goes on as its client can read it") {
  const std::string_view chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n";
  CHECK(answered(chunked, {}) == "HTTP/1.1 200 OK\r\nX: y\r\ntransfer-encoding: chunked\r\n\r\n");
  CHECK(answered(chunked, {.http10 = true}) == "HTTP/1.1 200 OK\r\nX: y\r\nconnection: close\r\n\r\n");
  CHECK(answered("HTTP/1.0 200 OK\r\nX: y\r\n\r\n", {}) ==
        "HTTP/1.1 200 OK\r\nX: y\r\ntransfer-encoding: chunked\r\n\r\n");
  const std::string_view sized = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
  CHECK(answered(sized, {}) == "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  CHECK(answered(sized, {.keep_alive = false}) == "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nconnection: close\r\n\r\n");
  CHECK(answered(sized, {.http10 = true}) == "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nconnection: keep-alive\r\n\r\n");
  CHECK(answered(sized, {}, {.head = true}) == "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
}

TEST_CASE("bodiless and interim responses claim no body") {
  CHECK(answered("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nX: y\r\n\r\n", {}) ==
        "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n");
  CHECK(answered("HTTP/1.1 100 Continue\r\n\r\n", {.keep_alive = false}) == "HTTP/1.1 100 Continue\r\n\r\n");
  CHECK(answered("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", {},
                 {.upgrade = true}) == "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nconnection: upgrade\r\n\r\n");
  CHECK(answered("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", {}) ==
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
}

TEST_CASE("a response made here closes the connection where that is to close, and every fault has its phrase") {
  leat::ring::Chain closing;
  REQUIRE(write_local_response(closing, pool(), {.status = 503, .reason = "no-endpoint", .body = "x", .bodiless = true},
                               {.keep_alive = false}));
  CHECK(text_of(closing) ==
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\nleat-reason: no-endpoint\r\n"
        "content-length: 1\r\nconnection: close\r\n\r\n");
  for (size_t i = 1; i < static_cast<size_t>(Fault::kCount); ++i) {
    CHECK_FALSE(reason_phrase(status(static_cast<Fault>(i))).empty());
  }
}

TEST_CASE("chunks: small ones in one slice, large ones without a copy") {
  leat::ring::Chain out;
  leat::ring::Chain data;
  REQUIRE(write_chunk(out, pool(), data));
  CHECK(out.empty());
  testing::append_slice(data, "abc");
  testing::append_slice(data, "0123456789");
  REQUIRE(write_chunk(out, pool(), data));
  CHECK(data.empty());
  REQUIRE(write_last_chunk(out, pool()));
  CHECK(text_of(out) == "d\r\nabc0123456789\r\n0\r\n\r\n");
  CHECK(out.slices().size() == 1);

  leat::ring::Chain large;
  testing::append_slice(data, std::string(10000, 'x'));
  const uint8_t* bytes = data.slices().front().data();
  REQUIRE(write_chunk(large, pool(), data));
  CHECK(data.empty());
  CHECK(text_of(large) == "2710\r\n" + std::string(10000, 'x') + "\r\n");
  CHECK(large.slices()[1].data() == bytes);
}

TEST_CASE("trailers go on as they came") {
  RequestReader reader;
  leat::ring::Chain input;
  leat::ring::Chain out;
  testing::append_slice(
      input, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA:b\r\nHost: x\r\nC: d\r\n\r\n");
  REQUIRE(reader.read(input, out) == Step::kHead);
  REQUIRE(reader.read(input, out) == Step::kEnd);
  REQUIRE(write_last_chunk(out, pool(), reader.trailers()));
  CHECK(text_of(out) == "0\r\nA: b\r\nC: d\r\n\r\n");
}

TEST_CASE("with a dry pool nothing is written, and later all of it") {
  leat::ring::BufferPool small(2);
  RequestReader reader;
  leat::ring::Chain input;
  leat::ring::Chain body;
  testing::append_slice(input, "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(20000, 'x') + "\r\n\r\n");
  REQUIRE(reader.read(input, body) == Step::kHead);
  leat::ring::Buffer held = small.allocate();
  leat::ring::Chain out;
  CHECK_FALSE(write_request(out, small, reader.head()));
  CHECK(out.empty());
  leat::ring::Chain data;
  testing::append_slice(data, std::string(5000, 'y'));
  CHECK_FALSE(write_chunk(out, small, data));
  CHECK(out.empty());
  CHECK(data.size() == 5000);
  held = {};
  CHECK(write_request(out, small, reader.head()));
  CHECK(out.size() == reader.head().size());
  CHECK_FALSE(write_local_response(out, small, {}, {}));
  CHECK_FALSE(write_last_chunk(out, small));
}

TEST_CASE("what may be written as a field is known") {
  CHECK(is_token("x-Y_1!"));
  for (const char* bad : {"", "a b", "a:", "a\r", "\x80"}) CHECK_FALSE(is_token(bad));
  for (const char* good : {"", "a", "a b\tc", "\x80"}) CHECK(is_field_value(good));
  for (const char* bad : {" a", "a ", "a\r\nb: c", "\x7f", "a\n"}) CHECK_FALSE(is_field_value(bad));
}

TEST_CASE("a response made here has the fields that it needs, and those of its edits in place of its own") {
  const auto local = [](const LocalResponse& response) {
    leat::ring::Chain out;
    REQUIRE(write_local_response(out, pool(), response, {}));
    return text_of(out);
  };
  CHECK(
      local({.status = 404, .reason = "no-route", .body = "none\n"}) ==
      "HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\nleat-reason: no-route\r\ncontent-length: 5\r\n\r\nnone\n");
  CHECK(local({.status = 301, .location = "http://b/"}) ==
        "HTTP/1.1 301 Moved Permanently\r\nlocation: http://b/\r\ncontent-length: 0\r\n\r\n");
  CHECK(local({.status = 200, .body = "body", .bodiless = true}) ==
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\n");
  CHECK(local({.status = 204, .body = "none is allowed"}) == "HTTP/1.1 204 No Content\r\n\r\n");
  const FieldLine html{"content-type", "text/html"};
  const FieldLine own{"x-own", "1"};
  const std::string_view gone = "leat-reason";
  CHECK(local({.status = 200,
               .reason = "r",
               .body = "b",
               .edits = {.remove = {&gone, 1}, .set = {&html, 1}, .add = {&own, 1}}}) ==
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nx-own: 1\r\ncontent-length: 1\r\n\r\nb");
}
