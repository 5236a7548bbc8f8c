// The two sides of an exchange in the terms of the exchange, whatever version each speaks: HTTP/1.1's messages are
// bytes of a connection, HTTP/2's a stream's heads, bytes and end. Bytes for either go the same way: put into a chain,
// which is sent.
#pragma once

#include <cstdint>

#include "userspace-proxy/flow/any_stream.h"
#include "userspace-proxy/flow/http_messages.h"
#include "userspace-proxy/grpc/grpc.h"
#include "userspace-proxy/http1/writer.h"

namespace leat::proxy {

// The request as it comes, the response as it goes.
class ClientCodec {
 public:
  // `stream` null: HTTP/1.1, read by `reader`.
  ClientCodec(http1::RequestReader& reader, HttpStream* stream) : reader_(reader), stream_(stream) {}

  http1::Step read(ring::Chain& input, ring::Chain& body) {
    return stream_ ? stream_->read(input, body) : reader_.read(input, body);
  }
  http1::Step read_end(ring::Chain& body) {
    ring::Chain none;
    return stream_ ? stream_->read(none, body) : reader_.read_end();
  }
  [[nodiscard]] const http1::RequestHead& head() const { return stream_ ? stream_->request() : reader_.head(); }
  [[nodiscard]] const http1::Fields& trailers() const { return stream_ ? stream_->trailers() : reader_.trailers(); }
  [[nodiscard]] http1::Fault fault() const { return stream_ ? stream_->fault() : reader_.fault(); }
  [[nodiscard]] bool has_head() const { return stream_ ? stream_->started() : reader_.has_head(); }
  [[nodiscard]] bool ended() const { return stream_ ? stream_->ended() : reader_.ended(); }
  [[nodiscard]] uint64_t body_bytes() const { return stream_ ? stream_->body_bytes() : reader_.body_bytes(); }

  // May be called again where they failed in their midst: the pool was dry. `client`: of HTTP/1.1.
  [[nodiscard]] bool put_head(ring::Chain& out, ring::BufferPool& pool, const http1::ResponseHead& head,
                              http1::Client client, const http1::Edits& edits);
  // `ended`: nothing follows `body` but `trailers`.
  [[nodiscard]] bool put_body(ring::Chain& out, ring::BufferPool& pool, ring::Chain& body, http1::Framing framing,
                              bool ended, const http1::Fields& trailers) const;
  // A whole response that is made here.
  [[nodiscard]] bool put_local(ring::Chain& out, ring::BufferPool& pool, const http1::LocalResponse& response,
                               http1::Client client);
  // The same for a gRPC call, whose client reads a status of its own, and the body as its message. HTTP/2 only.
  void put_local_grpc(grpc::Status status, const http1::LocalResponse& response);
  // Ends a response that has begun with a status of gRPC's.
  void finish_grpc(grpc::Status status, std::string_view message);
  // Everything that was put is sent.
  void finish(const http1::Fields& trailers) {
    if (stream_) stream_->finish(trailers);
  }

  // Null: HTTP/1.1.
  [[nodiscard]] HttpStream* stream() const { return stream_; }

 private:
  http1::RequestReader& reader_;
  HttpStream* stream_;
};

// The request as it goes, the response as it comes.
class UpstreamCodec {
 public:
  explicit UpstreamCodec(http1::ResponseReader& reader) : reader_(reader) {}
  // Another try. `stream` null: HTTP/1.1.
  void begin(HttpStream* stream, http1::Asked asked);
  // The upstream goes: its head and what was counted stay.
  void end();

  [[nodiscard]] bool put_head(ring::Chain& out, ring::BufferPool& pool, const http1::RequestHead& head,
                              const http1::RequestEdits& edits);
  [[nodiscard]] bool put_body(ring::Chain& out, ring::BufferPool& pool, ring::Chain& body, http1::Framing framing,
                              bool ended, const http1::Fields& trailers) const;
  void finish(const http1::Fields& trailers) {
    if (stream_) stream_->finish(trailers);
  }

  http1::Step read(ring::Chain& input, ring::Chain& body) {
    return stream_ ? stream_->read(input, body) : reader_.read(input, body);
  }
  http1::Step read_end(ring::Chain& body) {
    ring::Chain none;
    return stream_ ? stream_->read(none, body) : reader_.read_end();
  }
  [[nodiscard]] const http1::ResponseHead& head() const {
    return stream_ ? stream_->response() : http2_ ? last_ : reader_.head();
  }
  [[nodiscard]] const http1::Fields& trailers() const { return stream_ ? stream_->trailers() : reader_.trailers(); }
  [[nodiscard]] bool started() const {
    return stream_ ? stream_->started() || stream_->fault() != http1::Fault::kNone : reader_.started();
  }
  [[nodiscard]] bool has_head() const { return stream_ ? stream_->started() : http2_ ? has_head_ : reader_.has_head(); }
  [[nodiscard]] bool ended() const { return stream_ ? stream_->ended() : reader_.ended(); }
  [[nodiscard]] uint64_t body_bytes() const {
    return stream_ ? stream_->body_bytes() : http2_ ? body_bytes_ : reader_.body_bytes();
  }

  [[nodiscard]] HttpStream* stream() const { return stream_; }

 private:
  http1::ResponseReader& reader_;
  HttpStream* stream_ = nullptr;
  http1::ResponseHead last_;  // of a stream that is gone
  uint64_t body_bytes_ = 0;
  bool has_head_ = false;
  bool http2_ = false;
};

}  // namespace leat::proxy
