#include <doctest/doctest.h>

#include "tests/unit/userspace-proxy/http1/transcript.h"
#include "userspace-proxy/http1/limits.h"

using namespace leat::http1;
using testing::responses;

TEST_CASE("a response's body ends as its status, its request and its fields say") {
  CHECK(responses("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab") ==
        "200 OK framing=length length=2 keep-alive\n  Content-Length=2\nbody ab\nend\n");
  CHECK(responses("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") ==
        "200 OK framing=none keep-alive\n  Content-Length=0\nend\n");
  CHECK(responses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n") ==
        "200 OK framing=chunked keep-alive\n  Transfer-Encoding=chunked (hop)\nbody ab\n  X=y\nend\n");
  CHECK(responses("HTTP/1.1 200 OK\r\n\r\nuntil the close") ==
        "200 OK framing=until-close\nbody until the close\nend\n");
  CHECK(responses("HTTP/1.0 200 OK\r\n\r\n") == "200 OK framing=until-close http10\nend\n");
  CHECK(responses("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na") ==
        "200 OK framing=length length=1 http10 keep-alive\n  Connection=keep-alive (hop)\n  Content-Length=1\n"
        "body a\nend\n");
}

TEST_CASE("204, 304 and what answers HEAD have no body, whatever their fields say") {
  const std::string next = "HTTP/1.1 204 No Content\r\n\r\n";
  const std::string then = "204 No Content framing=none keep-alive\nend\n";
  CHECK(responses("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n" + next) ==
        "304 Not Modified framing=none length=5 keep-alive\n  Content-Length=5\nend\n" + then);
  CHECK(responses("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n" + next) ==
        "204 No Content framing=none keep-alive\n  Transfer-Encoding=chunked (hop)\nend\n" + then);
  CHECK(responses("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + next, {.head = true}) ==
        "200 OK framing=none length=5 keep-alive\n  Content-Length=5\nend\n" + then);
  CHECK(responses("HTTP/1.1 200 OK\r\n\r\n" + next, {.head = true}) == "200 OK framing=none keep-alive\nend\n" + then);
}

TEST_CASE("interim responses come before the final one") {
  CHECK(responses("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na") ==
        "100 Continue framing=none keep-alive\n103 Early Hints framing=none keep-alive\n  Link=x\n"
        "200 OK framing=length length=1 keep-alive\n  Content-Length=1\nbody a\nend\n");
  CHECK(responses("HTTP/1.1 100 Continue\r\n\r\n") == "100 Continue framing=none keep-alive\nfault truncated\n");
}

TEST_CASE("101 hands the connection over, to a request that asked for it") {
  const std::string bytes =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x01x";
  CHECK(responses(bytes, {.upgrade = true}) ==
        "101 Switching Protocols framing=none upgrade\n  Connection=upgrade (hop)\n  Upgrade=websocket (hop)\n"
        "end\nrest \x81\x01x\n");
  CHECK(responses(bytes) == "fault unasked-upgrade\n");
  CHECK(responses("HTTP/1.0 101 X\r\n\r\n", {.upgrade = true}) == "fault unasked-upgrade\n");
}

TEST_CASE("2xx to CONNECT hands the connection over, another status has a body") {
  CHECK(responses("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nraw", {.connect = true}) ==
        "200 OK framing=none length=5\n  Content-Length=5\nend\nrest raw\n");
  CHECK(responses("HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nraw", {.connect = true}) ==
        "403 No framing=length length=3 keep-alive\n  Content-Length=3\nbody raw\nend\nrest \n");
}

TEST_CASE("a status line may lack its reason, nothing else") {
  for (const char* line : {"HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1 999 \xc3\xa9 \t!"}) {
    CAPTURE(line);
    CHECK(responses(std::string(line) + "\r\nContent-Length: 0\r\n\r\n").ends_with("end\n"));
  }
  for (const char* line :
       {"HTTP/1.1  200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 099 OK", "HTTP/1.1 000 OK",
        "HTTP/1.1 2x0 OK", "HTTP/1.1", "HTTP/11 200 OK", "http/1.1 200 OK", " HTTP/1.1 200 OK", "\r\nHTTP/1.1 200 OK",
        "ICY 200 OK", "HTTP/1.1\t200 OK", "HTTP/1.1 200\tOK", "HTTP/1.1 +20 OK"}) {
    CAPTURE(line);
    const std::string seen = responses(std::string(line) + "\r\nContent-Length: 0\r\n\r\n");
    CHECK((seen == "fault bad-status-line\n" || seen == "fault control-character\n"));
  }
  CHECK(responses("HTTP/2.0 200 OK\r\n\r\n") == "fault unsupported-version\n");
  CHECK(responses("HTTP/1.1 200 OK\n\r\n") == "fault bare-lf\n");
  CHECK(responses("HTTP/1.1 200 O\x01K\r\n\r\n") == "fault control-character\n");
}

TEST_CASE("a server's framing is judged as strictly as a client's") {
  for (const auto& [fields, fault] :
       {std::pair{"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "length-and-coding"},
        std::pair{"Content-Length: 1\r\nContent-Length: 2\r\n", "many-content-lengths"},
        std::pair{"Content-Length: 1, 1\r\n", "bad-content-length"},
        std::pair{"Transfer-Encoding: gzip\r\n", "unknown-transfer-coding"},
        std::pair{"Transfer-Encoding: chunked, chunked\r\n", "bad-transfer-encoding"},
        std::pair{"A : b\r\n", "blank-before-colon"}, std::pair{"A: b\r\n c\r\n", "folded-line"}}) {
    CAPTURE(fields);
    CHECK(responses(std::string("HTTP/1.1 200 OK\r\n") + fields + "\r\nabc") == std::string("fault ") + fault + "\n");
  }
  CHECK(responses("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") == "fault coding-in-http10\n");
  CHECK(responses("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab") ==
        "200 OK framing=length length=3 keep-alive\n  Content-Length=3\nbody ab\nfault truncated\n");
}

TEST_CASE("a response that began is known, so that none is asked for twice") {
  ResponseReader reader;
  leat::ring::Chain input;
  leat::ring::Chain body;
  CHECK(reader.read_end() == Step::kNeedMore);
  CHECK_FALSE(reader.started());
  testing::append_slice(input, "HTTP/1.1 100 Continue\r\n\r\n");
  CHECK(reader.read(input, body) == Step::kHead);
  CHECK(reader.read(input, body) == Step::kNeedMore);
  CHECK(reader.started());
  CHECK(reader.read_end() == Step::kFault);
  reader.next({.head = true});
  CHECK_FALSE(reader.started());
  CHECK(reader.fault() == Fault::kNone);
}
