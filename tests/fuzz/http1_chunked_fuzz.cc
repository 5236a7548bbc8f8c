// A chunked body of a stranger: it means the same however it is cut, and what passes, framed again by us, carries the
// same bytes and trailers.
#include <random>

#include "tests/unit/userspace-proxy/http1/transcript.h"
#include "userspace-proxy/http1/writer.h"

namespace {

using namespace leat::http1;

constexpr std::string_view kHead = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

struct Message {
  bool whole = false;
  std::string data;
  std::string trailers;
  bool operator==(const Message&) const = default;
};

// Reads one body; `framed`, if not null, gets it in our own framing.
template <typename Piece>
Message read(std::string_view bytes, Piece piece, leat::ring::Chain* framed) {
  RequestReader reader;
  leat::ring::Chain input;
  leat::ring::Chain body;
  testing::append_slice(input, kHead);
  LEAT_CHECK(reader.read(input, body) == Step::kHead, "the head is good");
  Message message;
  for (;;) {
    const Step step = reader.read(input, body);
    message.data += testing::text_of(body);
    if (framed) LEAT_CHECK(write_chunk(*framed, testing::pool(), body), "the pool is large enough");
    body.clear();
    if (step == Step::kEnd) {
      message.whole = true;
      message.trailers = testing::text_of(reader.trailers());
      if (framed) LEAT_CHECK(write_last_chunk(*framed, testing::pool(), reader.trailers()), "the pool is large enough");
      return message;
    }
    if (step == Step::kFault || bytes.empty()) return message;
    const size_t size = std::min<size_t>(piece(), bytes.size());
    testing::append_slice(input, bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::minstd_rand random(static_cast<uint32_t>(size));
  const auto cut = [&] { return 1 + random() % 24; };
  const auto all = [&] { return size; };
  const Message whole = read(bytes, all, nullptr);
  leat::ring::Chain framed;
  LEAT_CHECK(read(bytes, cut, &framed) == whole, "cut otherwise, it means something else");
  if (whole.whole)
    LEAT_CHECK(
        read(testing::text_of(framed), [] { return size_t{1} << 20; }, nullptr) == whole, "framed again, it changes");
  return 0;
}
