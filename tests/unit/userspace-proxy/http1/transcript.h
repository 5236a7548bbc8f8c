// What a reader makes of bytes, as text: the same text however the bytes were cut into slices. For tests and fuzzers.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>

#include "common/check.h"
#include "userspace-proxy/http1/reader.h"

namespace leat::http1::testing {

inline ring::BufferPool& pool() {
  static ring::BufferPool blocks(64);
  return blocks;
}

inline void append_slice(ring::Chain& chain, std::string_view bytes) {
  while (!bytes.empty()) {
    ring::Buffer block = pool().allocate();
    LEAT_CHECK(block.has_block(), "the test's pool is dry");
    const auto part = std::min<size_t>(bytes.size(), block.tail_room());
    std::memcpy(block.data(), bytes.data(), part);
    block.grow(static_cast<uint32_t>(part));
    chain.append(std::move(block));
    bytes.remove_prefix(part);
  }
}

inline std::string text_of(const ring::Chain& chain) {
  std::string text;
  for (const ring::Buffer& slice : chain.slices())
    text.append(reinterpret_cast<const char*>(slice.data()), slice.size());
  return text;
}

inline std::string text_of(const Fields& fields) {
  std::string text;
  for (const Field& field : fields.all()) {
    text.append("  ").append(fields.name(field)).append("=").append(fields.value(field));
    text.append(field.hop ? " (hop)\n" : "\n");
  }
  return text;
}

inline std::string text_of(const Connection& connection) {
  constexpr std::string_view kFramings[] = {"none", "length", "chunked", "until-close"};
  std::string text = "framing=" + std::string(kFramings[static_cast<size_t>(connection.framing)]);
  if (connection.content_length > 0) text += " length=" + std::to_string(connection.content_length);
  if (connection.http10) text += " http10";
  if (connection.keep_alive) text += " keep-alive";
  if (connection.upgrade) text += " upgrade";
  if (connection.expect_continue) text += " expect";
  if (connection.te_trailers) text += " te-trailers";
  return text;
}

inline std::string text_of(const RequestHead& head) {
  return std::string(head.method_text()) + " " + std::string(head.path_and_query()) + " @" +
         std::string(head.authority()) + " " + text_of(head.connection()) + "\n" + text_of(head.fields());
}

inline std::string text_of(const ResponseHead& head) {
  return std::to_string(head.status()) + " " + std::string(head.reason()) + " " + text_of(head.connection()) + "\n" +
         text_of(head.fields());
}

// A connection without more than the messages on it: requests, or responses to requests that all are `asked`.
struct Requests {
  RequestReader reader;
  void next() { reader.next(); }
  [[nodiscard]] bool over() const { return reader.head().connection().upgrade; }
};
struct Responses {
  explicit Responses(Asked all = {}) : asked(all), reader(all) {}
  Asked asked;
  ResponseReader reader;
  void next() { reader.next(asked); }
  [[nodiscard]] bool over() const { return reader.head().connection().upgrade || asked.connect; }
};

using EachHead = std::function<void()>;

// `piece` says how many bytes arrive next (at least one). `at_head` is called when the reader has a head.
template <typename Messages>
std::string transcript(Messages&& messages, std::string_view bytes, const std::function<size_t()>& piece,
                       const EachHead& at_head = nullptr) {
  auto& reader = messages.reader;
  std::string text;
  std::string body_text;
  ring::Chain input;
  ring::Chain body;
  for (;;) {
    Step step = reader.read(input, body);
    body_text += text_of(body);
    body.clear();
    if (step == Step::kNeedMore) {
      LEAT_CHECK(input.empty(), "kNeedMore takes all of the input");
      if (!bytes.empty()) {
        const size_t size = std::min(piece(), bytes.size());
        append_slice(input, bytes.substr(0, size));
        bytes.remove_prefix(size);
        continue;
      }
      step = reader.read_end();
      if (step == Step::kNeedMore) return text;
    }
    if (step == Step::kHead) {
      text += text_of(reader.head());
      if (at_head) at_head();
      continue;
    }
    if (!body_text.empty()) text += "body " + std::exchange(body_text, "") + "\n";
    if (step == Step::kFault) return text + "fault " + std::string(label(reader.fault())) + "\n";
    text += text_of(reader.trailers()) + "end\n";
    if (messages.over()) return text + "rest " + text_of(input) + std::string(bytes) + "\n";
    messages.next();
  }
}

template <typename Messages>
std::string transcript(Messages&& messages, std::string_view bytes) {
  return transcript(messages, bytes, [&] { return bytes.size(); });
}
inline std::string requests(std::string_view bytes) { return transcript(Requests(), bytes); }
inline std::string responses(std::string_view bytes, Asked asked = {}) { return transcript(Responses(asked), bytes); }

}  // namespace leat::http1::testing
