// Bytes of a stranger's server, after any kind of request (the first byte says which): they mean the same however they
// are cut, and a head that passes and is written again means the same to the client.
#include <random>

#include "tests/unit/userspace-proxy/http1/transcript.h"
#include "userspace-proxy/http1/writer.h"

namespace {

using namespace leat::http1;

std::string written(const ResponseHead& head) {
  leat::ring::Chain out;
  LEAT_CHECK(write_response(out, testing::pool(), head, {}), "the pool is large enough");
  return testing::text_of(out);
}

void check_rewriting(const ResponseHead& head, Asked asked) {
  // Towards a client that made a CONNECT, a body's framing is not ours to add.
  if (asked.connect) return;
  const std::string once = written(head);
  ResponseReader reader(asked);
  leat::ring::Chain input;
  leat::ring::Chain body;
  testing::append_slice(input, once);
  const Step step = reader.read(input, body);
  if (reader.fault() == Fault::kHeadTooLarge || reader.fault() == Fault::kTooManyFields) return;
  LEAT_CHECK(step == Step::kHead && input.empty(), "a head that was accepted is refused when written again");
  const ResponseHead& again = reader.head();
  LEAT_CHECK(again.status() == head.status() && again.reason() == head.reason(), "another status");
  LEAT_CHECK(again.connection().framing == framing_for(head, {}), "another framing");
  LEAT_CHECK(again.connection().upgrade == head.connection().upgrade, "another protocol");
  LEAT_CHECK(written(again) == once, "written again, it changes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Asked asked{.head = (data[0] & 1) != 0, .connect = (data[0] & 2) != 0, .upgrade = (data[0] & 4) != 0};
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::minstd_rand random(static_cast<uint32_t>(size));
  testing::Responses whole(asked);
  const auto all = [&] { return size; };
  const std::string seen = testing::transcript(whole, bytes, all, [&] { check_rewriting(whole.reader.head(), asked); });
  const auto cut = [&] { return 1 + random() % 24; };
  testing::Responses pieces(asked);
  const std::string again =
      testing::transcript(pieces, bytes, cut, [&] { check_rewriting(pieces.reader.head(), asked); });
  LEAT_CHECK(again == seen, "cut otherwise, it means something else");
  return 0;
}
