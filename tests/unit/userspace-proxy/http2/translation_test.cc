// What a head means on the other side of a translation.
#include "message_pair.h"
#include "userspace-proxy/http1/head_builder.h"

using namespace leat::test;
using namespace leat;
using http1::Fault;
using http1::HeadBuilder;

namespace {

using List = std::vector<std::pair<std::string, std::string>>;

const List kGet = {{":method", "GET"}, {":scheme", "http"}, {":authority", "shop:80"}, {":path", "/a?b"}};

List with(List list, const List& more) {
  list.insert(list.end(), more.begin(), more.end());
  return list;
}

struct Built {
  http1::RequestHead head;
  Fault fault = Fault::kNone;
};

Built request(const List& list, bool ended = true) {
  HeadBuilder builder;
  builder.begin(HeadBuilder::Kind::kRequest);
  for (const auto& [name, value] : list) builder.add(name, value);
  Built built;
  built.fault = builder.finish(built.head, ended);
  return built;
}

std::string as_http1(const http1::RequestHead& head) {
  ring::BufferPool pool(16);
  ring::Chain out;
  REQUIRE(http1::write_request(out, pool, head));
  return text_of(out);
}

std::string response_as_http1(const List& list, http1::Asked asked, bool ended) {
  HeadBuilder builder;
  builder.begin(HeadBuilder::Kind::kResponse);
  for (const auto& [name, value] : list) builder.add(name, value);
  http1::ResponseHead head;
  REQUIRE(builder.finish(head, asked, ended) == Fault::kNone);
  ring::BufferPool pool(16);
  ring::Chain out;
  REQUIRE(http1::write_response(out, pool, head, {}));
  return text_of(out);
}

}  // namespace

TEST_CASE("a request of HTTP/2 reads in HTTP/1.1 as it was meant") {
  const Built built =
      request(with(kGet, {{"user-agent", "x"}, {"te", "trailers"}, {"cookie", "a=1"}, {"cookie", "b=2"}}));
  REQUIRE(built.fault == Fault::kNone);
  CHECK(as_http1(built.head) ==
        "GET /a?b HTTP/1.1\r\nhost: shop:80\r\nuser-agent: x\r\ncookie: a=1; b=2\r\n"
        "te: trailers\r\nconnection: te\r\n\r\n");
}

TEST_CASE("a body of HTTP/2 goes with its length, else in chunks; a request without one has neither") {
  const List post = {{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}};
  CHECK(as_http1(request(post, false).head) == "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
  CHECK(as_http1(request(post, true).head) == "POST / HTTP/1.1\r\nhost: a\r\n\r\n");
  CHECK(as_http1(request(with(post, {{"content-length", "5"}}), false).head) ==
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n");
}

TEST_CASE("Host without :authority serves, beside it it has to be the same") {
  const List bare = {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}};
  CHECK(as_http1(request(with(bare, {{"host", "shop"}})).head) == "GET / HTTP/1.1\r\nhost: shop\r\n\r\n");
  CHECK(request(bare).fault == Fault::kNoHost);
  CHECK(request(with(bare, {{"host", "a"}, {"host", "a"}})).fault == Fault::kManyHosts);
  CHECK(as_http1(request(with(kGet, {{"host", "SHOP:80"}})).head) == "GET /a?b HTTP/1.1\r\nhost: shop:80\r\n\r\n");
  CHECK(request(with(kGet, {{"host", "other"}})).fault == Fault::kHostMismatch);
}

TEST_CASE("what HTTP/1.1 would read as something else is refused") {
  const auto fault_of = [](std::string name, std::string value) { return request(with(kGet, {{name, value}})).fault; };
  CHECK(fault_of("a", "b\r\nc: d") == Fault::kControlCharacter);
  CHECK(fault_of("a", "b\nc") == Fault::kControlCharacter);
  CHECK(fault_of("a", std::string("b\0c", 3)) == Fault::kControlCharacter);
  CHECK(fault_of("a", " b") == Fault::kControlCharacter);
  CHECK(fault_of("a:b", "c") == Fault::kBadFieldName);
  CHECK(fault_of("a b", "c") == Fault::kBadFieldName);
  CHECK(fault_of("", "c") == Fault::kBadFieldName);
  CHECK(fault_of("Upper", "c") == Fault::kBadFieldName);
  for (const char* name : {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
    CHECK(fault_of(name, "x") == Fault::kConnectionField);
  CHECK(fault_of("te", "gzip") == Fault::kConnectionField);
  CHECK(fault_of("content-length", "1, 1") == Fault::kBadContentLength);
  CHECK(fault_of("content-length", "+1") == Fault::kBadContentLength);
  CHECK(request(with(kGet, {{"content-length", "1"}, {"content-length", "1"}})).fault == Fault::kManyContentLengths);

  const auto line = [](std::string method, std::string path, std::string authority) {
    return request({{":method", method}, {":scheme", "http"}, {":authority", authority}, {":path", path}}).fault;
  };
  CHECK(line("GET", "/", "a") == Fault::kNone);
  CHECK(line("GET /x HTTP/1.1\r\n", "/", "a") == Fault::kBadMethod);
  CHECK(line("G T", "/", "a") == Fault::kBadMethod);
  CHECK(line("GET", "/ HTTP/1.1\r\nx: y", "a") == Fault::kBadTarget);
  CHECK(line("GET", "/a b", "a") == Fault::kBadTarget);
  CHECK(line("GET", "", "a") == Fault::kBadTarget);
  CHECK(line("GET", "http://b/", "a") == Fault::kBadTarget);
  CHECK(line("GET", "*", "a") == Fault::kBadTarget);
  CHECK(line("OPTIONS", "*", "a") == Fault::kNone);
  CHECK(line("GET", "/#x", "a") == Fault::kFragmentInTarget);
  CHECK(line("GET", "/", "user@a") == Fault::kBadHost);
  CHECK(line("GET", "/", "a b") == Fault::kBadHost);
  CHECK(line("GET", "/", "a/b") == Fault::kBadHost);
  CHECK(line("GET", "/", "") == Fault::kBadHost);
}

TEST_CASE("a head has HTTP/1.1's limits") {
  List many = kGet;
  for (int i = 0; i < 100; ++i) many.push_back({"a", "b"});
  CHECK(request(many).fault == Fault::kTooManyFields);  // with host
  CHECK(request(with(kGet, {{"a", std::string(61 * 1024, 'x')}})).fault == Fault::kHeadTooLarge);
  List cookies = kGet;
  for (int i = 0; i < 70; ++i) cookies.push_back({"cookie", std::string(1024, 'x')});
  CHECK(request(cookies).fault == Fault::kHeadTooLarge);
  CHECK(request(with(kGet, {{std::string(256, 'a'), "b"}})).fault == Fault::kNameTooLong);
}

TEST_CASE("a response of HTTP/2 says in HTTP/1.1 where its body ends") {
  CHECK(response_as_http1({{":status", "200"}, {"a", "b"}}, {}, false) ==
        "HTTP/1.1 200 OK\r\na: b\r\ntransfer-encoding: chunked\r\n\r\n");
  CHECK(response_as_http1({{":status", "200"}}, {}, true) == "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  CHECK(response_as_http1({{":status", "200"}}, {.head = true}, true) == "HTTP/1.1 200 OK\r\n\r\n");
  CHECK(response_as_http1({{":status", "204"}}, {}, true) == "HTTP/1.1 204 No Content\r\n\r\n");
  CHECK(response_as_http1({{":status", "404"}, {"content-length", "3"}}, {}, false) ==
        "HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\n");
}

TEST_CASE("101 is no status of HTTP/2") {
  HeadBuilder builder;
  builder.begin(HeadBuilder::Kind::kResponse);
  builder.add(":status", "101");
  http1::ResponseHead head;
  CHECK(builder.finish(head, {}, true) == Fault::kUnaskedUpgrade);
}

TEST_CASE("trailers come without what would change framing, routing or identity late") {
  HeadBuilder builder;
  builder.begin(HeadBuilder::Kind::kTrailers);
  for (const auto& [name, value] :
       List{{"grpc-status", "0"}, {"host", "b"}, {"content-length", "1"}, {"authorization", "x"}})
    builder.add(name, value);
  http1::Fields trailers;
  CHECK(builder.finish(trailers) == Fault::kNone);
  CHECK(text_of(trailers) == "grpc-status: 0\n");
}

TEST_CASE("a request of HTTP/1.1 arrives in HTTP/2 in lower case, without what its connection had") {
  MessagePair pair;
  auto [here, there] = pair.ask(
      "GET http://Shop/x HTTP/1.1\r\nHost: Shop\r\nX-Mixed: Value\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\n"
      "Keep-Alive: 5\r\nProxy-Authorization: x\r\nUpgrade: foo\r\nTE: trailers, gzip\r\n\r\n",
      true);
  (void)here;
  CHECK(there->request().authority() == "Shop");
  CHECK(there->request().path_and_query() == "/x");
  CHECK(text_of(there->request().fields()) == "host: Shop\nx-mixed: Value\nte: trailers\n");
}

TEST_CASE("edits reach a head on its way into HTTP/2, Host as :authority") {
  MessagePair pair;
  const http1::FieldLine set[] = {{"Host", "other"}, {"x-one", "2"}};
  const http1::FieldLine add[] = {{"x-new", "3"}};
  const std::string_view remove[] = {"x-gone"};
  (void)pair.client.open(
      pair.read.request_head("GET /old HTTP/1.1\r\nHost: shop\r\nX-One: 1\r\nX-Gone: 1\r\nX-Stays: 1\r\n\r\n"),
      {.target = "/new", .fields = {.remove = remove, .set = set, .add = add}}, true);
  pair.settle();
  MessageStream* there = stream_with(pair.server, EventKind::kRequest);
  REQUIRE(there);
  CHECK(there->request().path_and_query() == "/new");
  CHECK(text_of(there->request().fields()) == "host: other\nx-stays: 1\nx-one: 2\nx-new: 3\n");
}
