#include "agent/ca/grpc_call.h"

#include <doctest/doctest.h>

using leat::ErrorCode;
using leat::ca::grpc_frame;
using leat::ca::GrpcAnswer;
using namespace std::string_literals;

namespace {

GrpcAnswer answer(std::initializer_list<const char*> fields, std::string body = {}) {
  GrpcAnswer answer;
  for (const char* field : fields) answer.add_field(field);
  answer.body = std::move(body);
  return answer;
}

}  // namespace

TEST_CASE("a message is framed with its length, and read back from its frame") {
  CHECK(grpc_frame("abc") == "\0\0\0\0\3abc"s);
  CHECK(grpc_frame(std::string(300, 'x')).substr(0, 5) == "\0\0\0\1\x2c"s);
  CHECK(*answer({"grpc-status: 0\r\n"}, grpc_frame("abc")).message(200) == "abc");
  CHECK(*answer({"Grpc-Status:0"}, grpc_frame("")).message(200) == "");
}

TEST_CASE("a refusal is told in the server's words, and by its code") {
  const auto refused = answer({"grpc-status: 7\r\n", "grpc-message: pod not found on node-b%3A none%21%0a\r\n"});
  const auto message = refused.message(200);
  REQUIRE_FALSE(message);
  CHECK(message.error().code == ErrorCode::kDenied);
  CHECK(message.error().message == "pod not found on node-b: none!?");
  CHECK_FALSE(refused.is_unauthenticated());
  CHECK(answer({"grpc-status: 16\r\n"}).is_unauthenticated());
  CHECK(answer({"grpc-status: 14\r\n"}).message(200).error().code == ErrorCode::kTimeout);
  CHECK(answer({"grpc-status: 12\r\n"}).message(200).error().code == ErrorCode::kUnsupported);
}

TEST_CASE("an answer that is no gRPC, is cut off or longer than it says is never a message") {
  CHECK_FALSE(answer({"grpc-status: 0"}, grpc_frame("abc")).message(502));
  CHECK_FALSE(answer({}, grpc_frame("abc")).message(200));
  CHECK_FALSE(answer({"grpc-status: x"}, grpc_frame("abc")).message(200));
  CHECK_FALSE(answer({"grpc-status: 0"}, "").message(200));
  CHECK_FALSE(answer({"grpc-status: 0"}, grpc_frame("abc").substr(0, 6)).message(200));
  CHECK_FALSE(answer({"grpc-status: 0"}, grpc_frame("abc") + "x").message(200));
  CHECK_FALSE(answer({"grpc-status: 0"}, "\1\0\0\0\1x"s).message(200));  // compressed: nobody asked for it
}
