#include "userspace-proxy/flow/http_codec.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "common/check.h"
#include "userspace-proxy/http1/head_builder.h"

namespace leat::proxy {
namespace {

bool put_http1_body(ring::Chain& out, ring::BufferPool& pool, ring::Chain& body, http1::Framing framing, bool ended,
                    const http1::Fields& trailers) {
  if (framing != http1::Framing::kChunked) {
    out.append(std::move(body));
    return true;
  }
  return http1::write_chunk(out, pool, body) && (!ended || http1::write_last_chunk(out, pool, trailers));
}

}  // namespace

bool ClientCodec::put_head(ring::Chain& out, ring::BufferPool& pool, const http1::ResponseHead& head,
                           http1::Client client, const http1::Edits& edits) {
  if (!stream_) return http1::write_response(out, pool, head, client, edits);
  stream_->respond(head, edits, head.connection().framing == http1::Framing::kNone);
  return true;
}

bool ClientCodec::put_body(ring::Chain& out, ring::BufferPool& pool, ring::Chain& body, http1::Framing framing,
                           bool ended, const http1::Fields& trailers) const {
  if (!stream_) return put_http1_body(out, pool, body, framing, ended, trailers);
  out.append(std::move(body));
  return true;
}

bool ClientCodec::put_local(ring::Chain& out, ring::BufferPool& pool, const http1::LocalResponse& response,
                            http1::Client client) {
  if (!stream_) return http1::write_local_response(out, pool, response, client);
  const bool bodiless = response.bodiless || response.body.empty() || http1::is_lengthless(response.status);
  const std::span body(reinterpret_cast<const uint8_t*>(response.body.data()), response.body.size());
  if (!bodiless && !out.append_copy(pool, body)) {
    out.clear();
    return false;
  }
  const fmt::format_int length(body.size());
  std::vector<http1::FieldLine> fields = http1::fields_of(response);
  if (!http1::is_lengthless(response.status)) fields.push_back({"content-length", {length.data(), length.size()}});
  stream_->respond(response.status, fields, bodiless);
  return true;
}

void ClientCodec::put_local_grpc(grpc::Status status, const http1::LocalResponse& response) {
  const fmt::format_int number(static_cast<uint8_t>(status));
  const std::string message = grpc::encode_message(response.body);
  std::vector<http1::FieldLine> fields = {{"content-type", "application/grpc"},
                                          {"grpc-status", {number.data(), number.size()}}};
  if (!message.empty()) fields.push_back({"grpc-message", message});
  if (!response.reason.empty()) fields.push_back({"leat-reason", response.reason});
  for (const std::span<const http1::FieldLine> lines : {response.edits.set, response.edits.add})
    fields.insert(fields.end(), lines.begin(), lines.end());
  stream_->respond(200, fields, true);
}

void ClientCodec::finish_grpc(grpc::Status status, std::string_view message) {
  const fmt::format_int number(static_cast<uint8_t>(status));
  http1::HeadBuilder builder;
  builder.begin(http1::HeadBuilder::Kind::kTrailers);
  builder.add("grpc-status", {number.data(), number.size()});
  builder.add("grpc-message", grpc::encode_message(message));
  http1::Fields trailers;
  LEAT_CHECK(builder.finish(trailers) == http1::Fault::kNone, "trailers of our own");
  stream_->finish(trailers);
}

void UpstreamCodec::begin(HttpStream* stream, http1::Asked asked) {
  stream_ = stream;
  http2_ = stream != nullptr;
  body_bytes_ = 0;
  has_head_ = false;
  reader_.next(asked);
}

void UpstreamCodec::end() {
  if (stream_) {
    body_bytes_ = stream_->body_bytes();
    has_head_ = stream_->started();
    if (has_head_) last_ = stream_->take_response();
  }
  stream_ = nullptr;
}

bool UpstreamCodec::put_head(ring::Chain& out, ring::BufferPool& pool, const http1::RequestHead& head,
                             const http1::RequestEdits& edits) {
  if (!stream_) return http1::write_request(out, pool, head, edits);
  stream_->ask(head, edits, head.connection().framing == http1::Framing::kNone);
  return true;
}

bool UpstreamCodec::put_body(ring::Chain& out, ring::BufferPool& pool, ring::Chain& body, http1::Framing framing,
                             bool ended, const http1::Fields& trailers) const {
  if (!stream_) return put_http1_body(out, pool, body, framing, ended, trailers);
  out.append(std::move(body));
  return true;
}

}  // namespace leat::proxy
