// Bytes of a stranger's client: they mean the same however they are cut, and a head that passes and is written again
// means the same to the next reader, whose copy is the same bytes once more.
#include <random>

#include "tests/unit/userspace-proxy/http1/transcript.h"
#include "userspace-proxy/http1/name.h"
#include "userspace-proxy/http1/writer.h"

namespace {

using namespace leat::http1;

std::string written(const RequestHead& head) {
  leat::ring::Chain out;
  LEAT_CHECK(write_request(out, testing::pool(), head), "the pool is large enough");
  return testing::text_of(out);
}

void check_rewriting(const RequestHead& head) {
  const std::string once = written(head);
  RequestReader reader;
  leat::ring::Chain input;
  leat::ring::Chain body;
  testing::append_slice(input, once);
  const Step step = reader.read(input, body);
  // What we add to a head that just kept a limit may exceed it; HTTP/1.0 may name no host.
  const bool excused = reader.fault() == Fault::kHeadTooLarge || reader.fault() == Fault::kTooManyFields ||
                       (reader.fault() == Fault::kBadHost && head.authority().empty());
  if (excused) return;
  LEAT_CHECK(step == Step::kHead && input.empty(), "a head that was accepted is refused when written again");
  const RequestHead& again = reader.head();
  LEAT_CHECK(again.method() == head.method() && again.method_text() == head.method_text(), "another method");
  LEAT_CHECK(again.path_and_query() == head.path_and_query(), "another target");
  LEAT_CHECK(equal_ignoring_case(again.authority(), head.authority()), "another host");
  const Connection& before = head.connection();
  const Connection& after = again.connection();
  LEAT_CHECK(after.framing == before.framing && after.content_length == before.content_length, "another framing");
  LEAT_CHECK(after.upgrade == before.upgrade && after.expect_continue == before.expect_continue &&
                 after.te_trailers == before.te_trailers,
             "another wish");
  LEAT_CHECK(written(again) == once, "written again, it changes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::minstd_rand random(static_cast<uint32_t>(size));
  testing::Requests whole;
  const auto all = [&] { return size; };
  const std::string seen = testing::transcript(whole, bytes, all, [&] { check_rewriting(whole.reader.head()); });
  const auto cut = [&] { return 1 + random() % 24; };
  testing::Requests pieces;
  const std::string again = testing::transcript(pieces, bytes, cut, [&] { check_rewriting(pieces.reader.head()); });
  LEAT_CHECK(again == seen, "cut otherwise, it means something else");
  return 0;
}
