// HTTP/1.1 messages into bytes. Every function appends to `out` whole or, with false, not at all: the pool is dry, try
// again when blocks are back.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "userspace-proxy/http1/head.h"
#include "userspace-proxy/ring/buffer.h"

namespace leat::http1 {

// A field to write. Names and values must be valid: is_token(), is_field_value().
struct FieldLine {
  std::string_view name;
  std::string_view value;
};
bool is_token(std::string_view text);
bool is_field_value(std::string_view text);

// What differs between a head as it came and as it goes on. Besides this the writers always drop what ends at this hop,
// and write Transfer-Encoding and Connection anew.
struct Edits {
  std::span<const std::string_view> remove;  // every field of these names
  std::span<const FieldLine> set;            // in place of every field of the name
  std::span<const FieldLine> add;            // beside others of the name
};

struct RequestEdits {
  std::string_view target = {};  // empty: path_and_query(), and for CONNECT the target
  bool close = false;            // ask the server to close after its response
  bool upgrade = true;           // pass on the wish to upgrade, if there is one
  Edits fields = {};
};
// The body that follows is framed as head.connection().framing says: kChunked through write_chunk(), kLength as it is.
// Expect goes with it, but not HTTP/1.0's. A request without Host (HTTP/1.0) gets an empty one, unless `set` or `add`
// has it.
[[nodiscard]] bool write_request(ring::Chain& out, ring::BufferPool& pool, const RequestHead& head,
                                 const RequestEdits& edits = {});

struct Client {
  bool http10 = false;
  bool keep_alive = true;  // false: our side closes after this response, and says so
};
// How the body of `head` is to be framed for a client: a body without known length goes chunked, to HTTP/1.0 until the
// close.
[[nodiscard]] Framing framing_for(const ResponseHead& head, Client client);
// Interim heads, 101 and final ones. The connection must close after a body with framing_for() == kUntilClose; the head
// says so by itself. (Interim responses are not for HTTP/1.0 clients.)
[[nodiscard]] bool write_response(ring::Chain& out, ring::BufferPool& pool, const ResponseHead& head, Client client,
                                  const Edits& edits = {});

// A response made here, with a body of text/plain.
struct LocalResponse {
  uint16_t status = 503;
  std::string_view reason;    // of the header leat-reason, a label: "no-route"; empty: none
  std::string_view location;  // empty: none
  std::string_view body;
  bool bodiless = false;  // answers HEAD
  Edits edits = {};
};
// Its fields but for the length.
std::vector<FieldLine> fields_of(const LocalResponse& response);
[[nodiscard]] bool write_local_response(ring::Chain& out, ring::BufferPool& pool, const LocalResponse& response,
                                        Client client);
// Its response never has a length (RFC 9110, section 8.6), nor a body.
bool is_lengthless(uint16_t status);
std::string_view reason_phrase(uint16_t status);  // "Not Found"; empty for an unknown one

// `data` as one chunk; it is empty afterwards. An empty `data` writes nothing (an empty chunk would end the body).
[[nodiscard]] bool write_chunk(ring::Chain& out, ring::BufferPool& pool, ring::Chain& data);
// The end of a chunked body.
[[nodiscard]] bool write_last_chunk(ring::Chain& out, ring::BufferPool& pool, const Fields& trailers);
[[nodiscard]] bool write_last_chunk(ring::Chain& out, ring::BufferPool& pool);

}  // namespace leat::http1
