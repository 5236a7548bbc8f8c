#include <doctest/doctest.h>

#include "tests/unit/userspace-proxy/http1/transcript.h"
#include "userspace-proxy/http1/limits.h"

using namespace leat::http1;
using testing::requests;

namespace {

std::string with_fields(const std::string& lines) { return "GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n"; }

Fault fault_of(std::string_view bytes) {
  RequestReader reader;
  leat::ring::Chain input;
  leat::ring::Chain body;
  testing::append_slice(input, bytes);
  Step step = Step::kHead;
  while (step == Step::kHead) step = reader.read(input, body);
  if (step == Step::kNeedMore) reader.read_end();
  return reader.fault();
}

RequestHead head_of(std::string_view bytes) {
  RequestReader reader;
  leat::ring::Chain input;
  leat::ring::Chain body;
  testing::append_slice(input, bytes);
  REQUIRE(reader.read(input, body) == Step::kHead);
  return reader.head();
}

// A reader's answer to each of several requests, all of which have the fault.
void refused(Fault fault, std::initializer_list<std::string> all) {
  for (const std::string& bytes : all) {
    CAPTURE(bytes);
    CHECK(label(fault_of(bytes)) == label(fault));
  }
}

}  // namespace

TEST_CASE("a request is read with all that it means") {
  CHECK(requests("POST /a?b=c HTTP/1.1\r\nHost: shop:8080\r\nContent-Length: 3\r\nX-Y:  z \t\r\nEmpty:\r\n\r\nabc") ==
        "POST /a?b=c @shop:8080 framing=length length=3 keep-alive\n"
        "  Host=shop:8080\n  Content-Length=3\n  X-Y=z\n  Empty=\n"
        "body abc\nend\n");
}

TEST_CASE("what strict reading leaves alone passes") {
  for (const char* line : {"GET / HTTP/1.1", "get / HTTP/1.1", "M-SEARCH / HTTP/1.1", "GET /a{b}|c\"<>^`\\ HTTP/1.1",
                           "GET //x//y HTTP/1.1", "GET /%2e%2e/?q=?&x=/ HTTP/1.1", "OPTIONS * HTTP/1.1"}) {
    CAPTURE(line);
    CHECK(fault_of(std::string(line) + "\r\nHost: a\r\n\r\n") == Fault::kNone);
  }
  for (const char* field :
       {"Content_Length: 5", "x:y", "X!#$%&'*+-.^_`|~1: y", "Caf\xc3\xa9", "X: caf\xc3\xa9 \x80\xff", "X: \ta \t b\t",
        "Connection:", "Connection: ,close,, keep-alive", "Content-Length: 0", "Content-Length: 00",
        "Transfer-Encoding: chunked", "Transfer-Encoding: Chunked", "Upgrade: websocket", "Expect: dance"}) {
    CAPTURE(field);
    const bool named = std::string_view(field).find(':') != std::string_view::npos;
    const Fault fault = fault_of(with_fields(std::string(field) + "\r\n"));
    // A chunked body does not follow here: its absence is another fault than the field's.
    const bool chunked = std::string_view(field).ends_with("hunked");
    CHECK(label(fault) == label(!named ? Fault::kBadFieldName : chunked ? Fault::kTruncated : Fault::kNone));
  }
}

TEST_CASE("lines that do not end with CRLF are refused") {
  refused(Fault::kBareLf,
          {"GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", with_fields("A: b\n"),
           with_fields("\n"), "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\n", "GET\n", with_fields("A\n")});
  refused(Fault::kBareCr, {"GET / HTTP/1.1\rHost: a\r\n\r\n", with_fields("A: b\rc\r\n"), with_fields("A: b\r\r\n"),
                           "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\rX"});
}

TEST_CASE("control characters are refused") {
  using namespace std::string_literals;
  refused(Fault::kControlCharacter,
          {with_fields("A: b\0c\r\n"s), with_fields("A: \x0b\r\n"), with_fields("A: \x0c\r\n"),
           with_fields("A: \x7f\r\n"), with_fields("A: \x1b[0m\r\n"), "GET /\0 HTTP/1.1\r\n"s, "GET /\ta HTTP/1.1\r\n",
           "GE\x01T / HTTP/1.1\r\n", "GET / HTTP/1.1\x0b\r\n", "GET\t/ HTTP/1.1\r\n"});
}

TEST_CASE("field lines that others may read differently are refused") {
  refused(Fault::kFoldedLine, {with_fields("A: b\r\n c\r\n"), with_fields("A: b\r\n\tc\r\n"),
                               "GET / HTTP/1.1\r\n Host: a\r\n\r\n", with_fields(" \r\n")});
  refused(Fault::kBlankBeforeColon,
          {with_fields("Content-Length : 5\r\n"), with_fields("A\t: b\r\n"), with_fields("A b: c\r\n")});
  refused(Fault::kBadFieldName,
          {with_fields(": b\r\n"), with_fields("A(b): c\r\n"), with_fields("A\x01: c\r\n"), with_fields("\x80: c\r\n"),
           with_fields("A\r\n"), with_fields("\"A\": c\r\n"), with_fields("A\\: b\r\n"), with_fields(":path: /\r\n")});
}

TEST_CASE("a request line is three parts with one space between") {
  refused(Fault::kBadRequestLine,
          {"GET  / HTTP/1.1\r\n", "GET /  HTTP/1.1\r\n", "GET / HTTP/1.1 \r\n", "GET /\r\n", "GET \r\n"});
  refused(Fault::kBadMethod, {" GET / HTTP/1.1\r\n", "\r\n\r\nGET / HTTP/1.1\r\n", "GET(/ HTTP/1.1\r\n", "GET\r\n",
                              "G\xc3\xa9T / HTTP/1.1\r\n", "{}\r\n"});
  CHECK(fault_of("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == Fault::kNone);
}

TEST_CASE("only versions 1.0 and 1.1 are spoken") {
  refused(Fault::kUnsupportedVersion, {"PRI * HTTP/2.0\r\n", "GET / HTTP/1.2\r\n", "GET / HTTP/0.9\r\n",
                                       "GET / HTTP/3.1\r\n", "GET / HTTP/9.9\r\n"});
  refused(Fault::kBadVersion, {"GET / http/1.1\r\n", "GET / HTTP/1.10\r\n", "GET / HTTP/11\r\n", "GET / HTTP/1,1\r\n",
                               "GET / HTTP/1.\r\n", "GET / FTP/1.1\r\n", "GET / HTTP\r\n", "GET / HTTP/a.b\r\n",
                               "GET / HTTP/01.1\r\n", "GET / HTTP/-1.1\r\n", "GET / a HTTP/1.1\r\n"});
  CHECK(status(Fault::kUnsupportedVersion) == 505);
}

TEST_CASE("a target is of the form that its method can have") {
  refused(Fault::kFragmentInTarget,
          {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a/#b HTTP/1.1\r\nHost: a\r\n\r\n"});
  refused(Fault::kBadTarget,
          {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
           "GET a HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
           "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT [::1] HTTP/1.1\r\nHost: a\r\n\r\n",
           "CONNECT u@a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
           "GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n",
           "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n"});

  const RequestHead absolute = head_of("GET hTTp://Shop:80/x?y HTTP/1.1\r\nHost: shop:80\r\n\r\n");
  CHECK(absolute.authority() == "Shop:80");
  CHECK(absolute.path_and_query() == "/x?y");
  CHECK(absolute.target() == "hTTp://Shop:80/x?y");
  CHECK(head_of("GET /caf\xc3\xa9?\x80\xff HTTP/1.1\r\nHost: a\r\n\r\n").path_and_query() == "/caf\xc3\xa9?\x80\xff");
  CHECK(head_of("GET https://a HTTP/1.1\r\nHost: a\r\n\r\n").path_and_query() == "/");
  CHECK(head_of("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").path_and_query() == "*");
  CHECK(head_of("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").authority() == "a:1");
  CHECK(head_of("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").path_and_query().empty());
}

TEST_CASE("there is exactly one Host, and it is a host") {
  const auto host = [](const std::string& value) { return "GET / HTTP/1.1\r\nHost:" + value + "\r\n\r\n"; };
  refused(Fault::kNoHost, {"GET / HTTP/1.1\r\n\r\n", "GET http://a/ HTTP/1.1\r\n\r\n"});
  refused(Fault::kManyHosts, {"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"});
  refused(Fault::kBadHost, {host(""),       host("u@a"),  host("a/b"),         host("a b"),      host("a,b:x"),
                            host("a:"),     host("a:x"),  host("a:65536"),     host("a:123456"), host(":80"),
                            host("a:1:2"),  host("[::1"), host("[::1]80"),     host("[a"),       host("[]"),
                            host("[g::1]"), host("a\"b"), host("caf\xc3\xa9"), host("a\\b"),     host("http://a")});
  for (const char* good : {"a", "a.b_c-d:1", "10.0.0.1:65535", "[::1]", "[fd00::1]:80", "a%20b", "A.example."}) {
    CAPTURE(good);
    CHECK(head_of(host(good)).authority() == good);
  }
  refused(Fault::kHostMismatch,
          {"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", "GET http://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n"});
  CHECK(head_of("GET / HTTP/1.0\r\n\r\n").authority().empty());
}

TEST_CASE("a length is one decimal number") {
  refused(Fault::kBadContentLength, {with_fields("Content-Length:\r\n"), with_fields("Content-Length: +5\r\n"),
                                     with_fields("Content-Length: -0\r\n"), with_fields("Content-Length: 5 5\r\n"),
                                     with_fields("Content-Length: 5, 5\r\n"), with_fields("Content-Length: 0x5\r\n"),
                                     with_fields("Content-Length: 5_0\r\n"), with_fields("Content-Length: 5.\r\n"),
                                     with_fields("Content-Length: \xb2\r\n"), with_fields("Content-Length: 5;\r\n")});
  refused(Fault::kManyContentLengths, {with_fields("Content-Length: 5\r\nContent-Length: 5\r\n"),
                                       with_fields("Content-Length: 5\r\ncontent-length: 6\r\n")});
  refused(Fault::kBodyTooLarge, {with_fields("Content-Length: 18446744073709551617\r\n"),
                                 with_fields("Content-Length: 1152921504606846977\r\n")});
  CHECK(head_of(with_fields("Content-Length: 1152921504606846976\r\n")).connection().content_length == uint64_t{1}
                                                                                                           << 60);
  CHECK(status(Fault::kBodyTooLarge) == 413);
}

TEST_CASE("the only transfer coding is chunked, once, alone, and not in HTTP/1.0") {
  refused(Fault::kLengthAndCoding, {with_fields("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
                                    with_fields("Transfer-Encoding: x\r\nContent-Length: 0\r\n")});
  refused(Fault::kBadTransferEncoding,
          {with_fields("Transfer-Encoding:\r\n"), with_fields("Transfer-Encoding: identity\r\n"),
           with_fields("Transfer-Encoding: chunked, chunked\r\n"), with_fields("Transfer-Encoding: chunked,\r\n"),
           with_fields("Transfer-Encoding: ,chunked\r\n"),
           with_fields("Transfer-Encoding: \xa0"
                       "chunked\r\n"),
           with_fields("Transfer-Encoding: chunked;q=1\r\n"), with_fields("Transfer-Encoding: \"chunked\"\r\n"),
           with_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
           with_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
           with_fields("Transfer-Encoding: chunked identity\r\n")});
  refused(Fault::kUnknownTransferCoding,
          {with_fields("Transfer-Encoding: gzip\r\n"), with_fields("Transfer-Encoding: xchunked\r\n"),
           with_fields("Transfer-Encoding: gzip, br\r\n"), with_fields("Transfer-Encoding: gzip, chunked\r\n")});
  refused(Fault::kCodingInHttp10, {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"});
  CHECK(status(Fault::kUnknownTransferCoding) == 501);
}

TEST_CASE("what is too large is refused at its limit, not one byte before") {
  const auto method = [](size_t size) { return std::string(size, 'M') + " / HTTP/1.1\r\nHost: a\r\n\r\n"; };
  CHECK(fault_of(method(limits::kMethodBytes)) == Fault::kNone);
  CHECK(fault_of(method(limits::kMethodBytes + 1)) == Fault::kMethodTooLong);
  const auto target = [](size_t size) { return "GET /" + std::string(size - 1, 't') + " HTTP/1.1\r\nHost: a\r\n\r\n"; };
  CHECK(fault_of(target(limits::kTargetBytes)) == Fault::kNone);
  CHECK(fault_of(target(limits::kTargetBytes + 1)) == Fault::kTargetTooLong);
  const auto name = [](size_t size) { return with_fields(std::string(size, 'n') + ": v\r\n"); };
  CHECK(fault_of(name(limits::kNameBytes)) == Fault::kNone);
  CHECK(fault_of(name(limits::kNameBytes + 1)) == Fault::kNameTooLong);
  const auto fields = [](size_t count) {
    std::string lines;
    for (size_t i = 1; i < count; ++i) lines += "a: b\r\n";
    return with_fields(lines);
  };
  CHECK(fault_of(fields(limits::kFields)) == Fault::kNone);
  CHECK(fault_of(fields(limits::kFields + 1)) == Fault::kTooManyFields);
  const auto head = [](size_t size) {
    const size_t rest = with_fields("a: \r\n").size();
    return with_fields("a: " + std::string(size - rest, 'v') + "\r\n");
  };
  CHECK(head_of(head(limits::kHeadBytes)).size() == limits::kHeadBytes);
  CHECK(fault_of(head(limits::kHeadBytes + 1)) == Fault::kHeadTooLarge);
  const auto options = [](size_t count) {
    std::string list = "x";
    for (size_t i = 1; i < count; ++i) list += ",x";
    return with_fields("Connection: " + list + "\r\n");
  };
  CHECK(fault_of(options(limits::kConnectionOptions)) == Fault::kNone);
  CHECK(fault_of(options(limits::kConnectionOptions + 1)) == Fault::kTooManyConnectionOptions);
  CHECK(status(Fault::kTargetTooLong) == 414);
  CHECK(status(Fault::kHeadTooLarge) == 431);
}

TEST_CASE("a connection lives on as its version and options say") {
  const auto keeps = [](const char* version, const char* lines) {
    return head_of(std::string("GET / HTTP/") + version + "\r\nHost: a\r\n" + lines + "\r\n").connection().keep_alive;
  };
  CHECK(keeps("1.1", ""));
  CHECK_FALSE(keeps("1.1", "Connection: x, Close\r\n"));
  CHECK_FALSE(keeps("1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
  CHECK_FALSE(keeps("1.0", ""));
  CHECK(keeps("1.0", "Connection: Keep-Alive\r\n"));
  CHECK_FALSE(keeps("1.0", "Connection: keep-alive, close\r\n"));
}

TEST_CASE("Connection marks what ends at this hop, but never what both sides must agree on") {
  CHECK(
      requests(with_fields("Connection: x-private, HOST, content-length, authorization, cookie\r\nX-Private: 1\r\n"
                           "X-Private: 2\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nCookie: c\r\n")) ==
      "GET / @a framing=none keep-alive te-trailers\n  Host=a\n"
      "  Connection=x-private, HOST, content-length, authorization, cookie (hop)\n"
      "  X-Private=1 (hop)\n  X-Private=2 (hop)\n  Keep-Alive=5 (hop)\n  Proxy-Connection=x (hop)\n"
      "  TE=trailers (hop)\n  Cookie=c\nend\n");
}

TEST_CASE("an upgrade needs Connection, version 1.1, and a protocol that is not h2c") {
  const auto upgrades = [](const char* version, const char* lines) {
    return head_of(std::string("GET / HTTP/") + version + "\r\nHost: a\r\n" + lines + "\r\n").connection().upgrade;
  };
  CHECK(upgrades("1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"));
  CHECK_FALSE(upgrades("1.1", "Upgrade: websocket\r\n"));
  CHECK_FALSE(upgrades("1.1", "Connection: upgrade\r\n"));
  CHECK_FALSE(upgrades("1.1", "Connection: upgrade\r\nUpgrade:\r\n"));
  CHECK_FALSE(upgrades("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n"));
  CHECK_FALSE(upgrades("1.1", "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n"));
  CHECK_FALSE(upgrades("1.1", "Connection: upgrade\r\nUpgrade: websocket, H2C\r\n"));
  CHECK_FALSE(upgrades("1.1", "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n"));
}

TEST_CASE("a client that waits for 100 is known, unless it speaks HTTP/1.0") {
  CHECK(head_of(with_fields("Expect: 100-Continue\r\n")).connection().expect_continue);
  CHECK_FALSE(head_of(with_fields("Expect: 100-continued\r\n")).connection().expect_continue);
  CHECK_FALSE(head_of("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").connection().expect_continue);
}

TEST_CASE("fields are found by name in any case, first of several, and by their known name") {
  const RequestHead head = head_of(with_fields("x-A: 1\r\nX-a: 2\r\nContent-Type: text/plain\r\n"));
  CHECK(head.fields().get("X-A") == "1");
  CHECK_FALSE(head.fields().get("x-b"));
  CHECK(head.fields().value(*head.fields().find(Name::kContentType)) == "text/plain");
  CHECK_FALSE(head.fields().has(Name::kCookie));
  CHECK_FALSE(head.fields().repeated(Name::kHost));
}

TEST_CASE("of pipelined requests one is read, and the rest stays") {
  const std::string first = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
  const std::string second = "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
  leat::ring::Chain input;
  leat::ring::Chain body;
  testing::append_slice(input, first + second);
  RequestReader reader;
  CHECK(reader.read(input, body) == Step::kHead);
  CHECK(reader.read(input, body) == Step::kEnd);
  CHECK(testing::text_of(body) == "ab");
  CHECK(reader.read(input, body) == Step::kEnd);  // and not the next one's head
  CHECK(testing::text_of(input) == second);
  reader.next();
  CHECK_FALSE(reader.started());
  CHECK(reader.read(input, body) == Step::kHead);
  CHECK(reader.head().target() == "/2");
  CHECK(input.empty());
}

TEST_CASE("a message that is over takes nothing more, even if it was chunked") {
  leat::ring::Chain input;
  leat::ring::Chain body;
  testing::append_slice(input, with_fields("Transfer-Encoding: chunked\r\n") + "0\r\n\r\nA: b\r\n\r\n");
  RequestReader reader;
  CHECK(reader.read(input, body) == Step::kHead);
  CHECK(reader.read(input, body) == Step::kEnd);
  CHECK(reader.read(input, body) == Step::kEnd);
  CHECK(testing::text_of(input) == "A: b\r\n\r\n");
  CHECK(reader.trailers().empty());
}

TEST_CASE("a head that came in pieces ends where the body begins") {
  const std::string head = with_fields("Content-Length: 3\r\n");
  leat::ring::Chain input;
  leat::ring::Chain body;
  testing::append_slice(input, head.substr(0, 20));
  RequestReader reader;
  CHECK(reader.read(input, body) == Step::kNeedMore);
  testing::append_slice(input, head.substr(20) + "abc");
  CHECK(reader.read(input, body) == Step::kHead);
  CHECK(reader.head().size() == head.size());
  CHECK(testing::text_of(input) == "abc");
}

TEST_CASE("a head that trickles in holds no blocks") {
  const std::string bytes = with_fields("A: b\r\n");
  const uint32_t free = testing::pool().free_blocks();
  RequestReader reader;
  leat::ring::Chain input;
  leat::ring::Chain body;
  for (const char& byte : bytes) {
    testing::append_slice(input, {&byte, 1});
    const Step step = reader.read(input, body);
    CHECK(step == (&byte == &bytes.back() ? Step::kHead : Step::kNeedMore));
    CHECK(testing::pool().free_blocks() == free);
  }
}

TEST_CASE("a close between requests is no fault, within one it is") {
  RequestReader reader;
  leat::ring::Chain input;
  leat::ring::Chain body;
  CHECK(reader.read_end() == Step::kNeedMore);
  testing::append_slice(input, "\r\n");  // what may stand before a request is not yet one
  CHECK(reader.read(input, body) == Step::kNeedMore);
  CHECK(reader.read_end() == Step::kNeedMore);
  testing::append_slice(input, "G");
  CHECK(reader.read(input, body) == Step::kNeedMore);
  CHECK(reader.started());
  CHECK(reader.read_end() == Step::kFault);
  CHECK(reader.fault() == Fault::kTruncated);
  CHECK(fault_of(with_fields("Content-Length: 3\r\n") + "ab") == Fault::kTruncated);
  CHECK(fault_of(with_fields("Transfer-Encoding: chunked\r\n") + "2\r\nab\r\n") == Fault::kTruncated);
}

TEST_CASE("every fault has a status, a label and a sentence of its own") {
  std::string labels;
  for (size_t i = 1; i < static_cast<size_t>(Fault::kCount); ++i) {
    const auto fault = static_cast<Fault>(i);
    CHECK(status(fault) >= 400);
    CHECK(labels.find("," + std::string(label(fault)) + ",") == std::string::npos);
    labels += "," + std::string(label(fault)) + ",";
    CHECK(sentence(fault).size() > 20);
  }
}
