// Names and values of a stranger, as HPACK may bring them: a head of them that passes is one message in HTTP/1.1, and
// means there what it says here. The input: lines "name\tvalue", ended by '\n', where '\\' stands before any byte.
#include <string>

#include "common/check.h"
#include "userspace-proxy/http1/head_builder.h"
#include "userspace-proxy/http1/reader.h"
#include "userspace-proxy/http1/writer.h"

using namespace leat::http1;
using leat::ring::BufferPool;
using leat::ring::Chain;

namespace {

template <typename Add>
void for_each_line(const uint8_t* data, size_t size, Add add) {
  std::string part[2];
  int at = 0;
  for (size_t i = 0; i < size; ++i) {
    char c = static_cast<char>(data[i]);
    const bool plain = c == '\\' && i + 1 < size;
    if (plain) c = static_cast<char>(data[++i]);
    if (!plain && c == '\t' && at == 0) {
      at = 1;
    } else if (!plain && c == '\n') {
      add(part[0], part[1]);
      part[0].clear(), part[1].clear(), at = 0;
    } else {
      part[at].push_back(c);
    }
  }
  if (!part[0].empty()) add(part[0], part[1]);
}

void check_request(const RequestHead& head, BufferPool& pool) {
  Chain out;
  LEAT_CHECK(write_request(out, pool, head), "the pool is large enough");
  RequestReader reader;
  Chain body;
  const Step step = reader.read(out, body);
  if (reader.fault() == Fault::kHeadTooLarge || reader.fault() == Fault::kTooManyFields) return;
  LEAT_CHECK(step == Step::kHead && out.empty(), "not one request");
  const RequestHead& again = reader.head();
  LEAT_CHECK(again.method_text() == head.method_text() && again.path_and_query() == head.path_and_query() &&
                 again.authority() == head.authority(),
             "another request");
  LEAT_CHECK(again.connection().framing == head.connection().framing &&
                 again.connection().content_length == head.connection().content_length,
             "another framing");
}

void check_response(const ResponseHead& head, Asked asked, BufferPool& pool) {
  Chain out;
  LEAT_CHECK(write_response(out, pool, head, {}), "the pool is large enough");
  ResponseReader reader(asked);
  Chain body;
  const Step step = reader.read(out, body);
  if (reader.fault() == Fault::kHeadTooLarge || reader.fault() == Fault::kTooManyFields) return;
  LEAT_CHECK(step == Step::kHead && out.empty(), "not one response");
  LEAT_CHECK(reader.head().status() == head.status() && reader.head().connection().framing == head.connection().framing,
             "another response");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static BufferPool pool(64);
  if (size == 0) return 0;
  const bool ended = data[0] & 1;
  const bool is_request = data[0] & 2;
  HeadBuilder builder;
  builder.begin(is_request ? HeadBuilder::Kind::kRequest : HeadBuilder::Kind::kResponse);
  for_each_line(data + 1, size - 1, [&](std::string_view name, std::string_view value) { builder.add(name, value); });
  if (is_request) {
    RequestHead head;
    if (builder.finish(head, ended) == Fault::kNone) check_request(head, pool);
  } else {
    const Asked asked{.head = (data[0] & 4) != 0, .connect = false, .upgrade = false};
    ResponseHead head;
    if (builder.finish(head, asked, ended) == Fault::kNone) check_response(head, asked, pool);
  }
  return 0;
}
