// A message's head as read: its start line, its fields, and what they mean for the connection. All text lies in one
// allocation that the reader reuses: it is valid until the reader's next(). A head that came as HTTP/2 has the text
// that it would have had in HTTP/1.1 (head_builder.h), so that whoever reads or writes heads need not know.
#pragma once

#include <cstdint>
#include <string_view>

#include "userspace-proxy/http1/fields.h"

namespace leat::http1 {

enum class Method : uint8_t { kOther, kGet, kHead, kPost, kPut, kDelete, kConnect, kOptions, kTrace, kPatch };

// Sending it twice means the same as once (RFC 9110, section 9.2.2). Unknown methods are not.
constexpr bool is_idempotent(Method method) {
  return method != Method::kOther && method != Method::kPost && method != Method::kPatch && method != Method::kConnect;
}

// How a body's end is known.
enum class Framing : uint8_t {
  kNone,    // there is no body
  kLength,  // content_length bytes, more than none
  kChunked,
  kUntilClose,  // responses only
};

// What both kinds of head say about the connection.
struct Connection {
  uint64_t content_length = 0;  // with Framing::kLength; of HEAD and 304 as well, where no body follows
  Framing framing = Framing::kNone;
  bool http10 = false;
  bool keep_alive = false;       // the peer lets the connection live on after this message
  bool upgrade = false;          // request: asks for another protocol (never h2c); response: 101
  bool expect_continue = false;  // request: waits for 100 before its body
  bool te_trailers = false;      // request: accepts trailers
  bool empty = false;            // response of HTTP/2: no body follows, though one could; HTTP/1.1 says a length of 0
};

class RequestHead {
 public:
  [[nodiscard]] Method method() const { return method_; }
  [[nodiscard]] std::string_view method_text() const { return fields_.text(method_text_); }
  [[nodiscard]] std::string_view target() const { return fields_.text(target_); }  // as on the wire
  // Path and query in origin form: what the request line to a server carries ("*" of OPTIONS; empty for CONNECT).
  [[nodiscard]] std::string_view path_and_query() const {
    if (path_.size > 0 || method_ == Method::kConnect) return fields_.text(path_);
    return method_ == Method::kOptions ? "*" : "/";  // of an absolute target without a path
  }
  // Host and port that the request is for: of an absolute target, else of Host; empty if HTTP/1.0 names none.
  [[nodiscard]] std::string_view authority() const { return fields_.text(authority_); }
  [[nodiscard]] const Connection& connection() const { return connection_; }
  [[nodiscard]] const Fields& fields() const { return fields_; }
  [[nodiscard]] size_t size() const { return fields_.bytes().size(); }  // bytes on the wire

 private:
  friend class RequestReader;
  friend class HeadBuilder;
  friend struct Rules;

  Fields fields_;
  Connection connection_;
  Span method_text_;
  Span target_;
  Span path_;
  Span authority_;
  Method method_ = Method::kOther;
};

class ResponseHead {
 public:
  [[nodiscard]] uint16_t status() const { return status_; }  // 100 … 999
  [[nodiscard]] std::string_view status_text() const { return fields_.bytes().substr(sizeof "HTTP/1.1", 3); }
  [[nodiscard]] std::string_view reason() const { return fields_.text(reason_); }
  // 1xx but 101: more heads follow.
  [[nodiscard]] bool interim() const { return status_ < 200 && status_ != 101; }
  [[nodiscard]] const Connection& connection() const { return connection_; }
  [[nodiscard]] const Fields& fields() const { return fields_; }
  [[nodiscard]] size_t size() const { return fields_.bytes().size(); }

 private:
  friend class ResponseReader;
  friend class HeadBuilder;
  friend struct Rules;

  Fields fields_;
  Connection connection_;
  Span reason_;
  uint16_t status_ = 0;
};

}  // namespace leat::http1
