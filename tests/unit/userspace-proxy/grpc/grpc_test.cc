#include "userspace-proxy/grpc/grpc.h"

#include <doctest/doctest.h>

#include "userspace-proxy/http1/head_builder.h"

using namespace leat;
using namespace std::chrono_literals;
using grpc::Status;

namespace {

http1::Fields fields(std::string_view name, std::string_view value) {
  http1::HeadBuilder builder;
  builder.begin(http1::HeadBuilder::Kind::kResponse);
  builder.add(":status", "200");
  builder.add(name, value);
  http1::ResponseHead head;
  REQUIRE(builder.finish(head, {}, true) == http1::Fault::kNone);
  return head.fields();
}

}  // namespace

TEST_CASE("a call is told by its content type, and gRPC-Web is none") {
  for (const std::string_view type :
       {"application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8", "Application/gRPC"})
    CHECK(grpc::is_grpc(fields("content-type", type)));
  for (const std::string_view type : {"application/grpc-web", "application/grpcx", "text/plain", "application/grp"})
    CHECK_FALSE(grpc::is_grpc(fields("content-type", type)));
  CHECK_FALSE(grpc::is_grpc(fields("a", "b")));
}

TEST_CASE("a status is one of seventeen numbers") {
  CHECK(grpc::status_of(fields("grpc-status", "0")) == Status::kOk);
  CHECK(grpc::status_of(fields("grpc-status", "14")) == Status::kUnavailable);
  for (const std::string_view text : {"17", "-1", "", "1x", "x", "014"})
    CHECK_FALSE(grpc::status_of(fields("grpc-status", text)));
  CHECK_FALSE(grpc::status_of(fields("a", "0")));
}

TEST_CASE("a timeout is one to eight digits and a unit") {
  CHECK(grpc::parse_timeout("1H") == 1h);
  CHECK(grpc::parse_timeout("2M") == 2min);
  CHECK(grpc::parse_timeout("3S") == 3s);
  CHECK(grpc::parse_timeout("4m") == 4ms);
  CHECK(grpc::parse_timeout("5u") == 5us);
  CHECK(grpc::parse_timeout("00000006n") == 6ns);
  CHECK(grpc::parse_timeout("99999999S") == 99'999'999s);
  CHECK(grpc::parse_timeout("99999999H") == std::chrono::nanoseconds::max());
  for (const std::string_view text : {"", "1", "S", "s", "1s", "123456789S", "-1S", "+1S", "1 S", "1.5S", "1Sx"})
    CHECK_FALSE(grpc::parse_timeout(text));
}

TEST_CASE("a timeout is written in the finest unit that has room, never longer than it is") {
  CHECK(grpc::format_timeout(5ns) == "5n");
  CHECK(grpc::format_timeout(99'999'999ns) == "99999999n");
  CHECK(grpc::format_timeout(100'000'999ns) == "100000u");
  CHECK(grpc::format_timeout(2s) == "2000000u");
  CHECK(grpc::format_timeout(1h) == "3600000m");
  CHECK(grpc::format_timeout(0ns) == "1n");
  CHECK(grpc::format_timeout(-1s) == "1n");
  CHECK(grpc::format_timeout(std::chrono::nanoseconds::max()) == "2562047H");
}

TEST_CASE("HTTP's statuses and HTTP/2's resets mean to a client what gRPC says they do") {
  CHECK(grpc::status_of_http(400) == Status::kInternal);
  CHECK(grpc::status_of_http(401) == Status::kUnauthenticated);
  CHECK(grpc::status_of_http(403) == Status::kPermissionDenied);
  CHECK(grpc::status_of_http(404) == Status::kUnimplemented);
  for (const uint16_t status : {429, 502, 503, 504}) CHECK(grpc::status_of_http(status) == Status::kUnavailable);
  CHECK(grpc::status_of_http(500) == Status::kUnknown);
  CHECK(grpc::status_of_reset(7) == Status::kUnavailable);
  CHECK(grpc::status_of_reset(8) == Status::kCancelled);
  CHECK(grpc::status_of_reset(11) == Status::kResourceExhausted);
  CHECK(grpc::status_of_reset(2) == Status::kInternal);
}

TEST_CASE("a message is percent-encoded where it is not plain ASCII") {
  CHECK(grpc::encode_message("no endpoint is ready; 100 %\n") == "no endpoint is ready; 100 %25%0A");
}
