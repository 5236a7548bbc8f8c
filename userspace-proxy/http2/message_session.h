// One end of an HTTP/2 connection whose streams are HTTP requests and their responses: the server towards an
// application, the client towards an upstream.
#pragma once

#include <cstdint>
#include <span>

#include "userspace-proxy/http1/head.h"
#include "userspace-proxy/http1/head_builder.h"
#include "userspace-proxy/http1/writer.h"
#include "userspace-proxy/http2/session.h"

namespace leat::http2 {

class MessageStream final : public Stream {
 public:
  // Server, from kRequest on, if fault() is kNone.
  [[nodiscard]] const http1::RequestHead& request() const { return request_; }
  // Client, from kResponse on, if fault() is kNone: the last head that came. An interim one that nobody has looked at
  // when the next one comes is lost: nobody needs to have seen it.
  [[nodiscard]] const http1::ResponseHead& response() const { return response_; }
  // The same, for one who outlives the stream; here it is gone.
  http1::ResponseHead take_response() { return std::move(response_); }
  // What is wrong with the peer's head.
  [[nodiscard]] http1::Fault fault() const { return fault_; }
  [[nodiscard]] bool head_ended() const { return head_ended_; }  // nothing followed the (last) head
  // Of the peer, from kEnded on.
  [[nodiscard]] const http1::Fields& trailers() const { return trailers_; }

 private:
  friend class MessageSession;
  MessageStream() = default;

  http1::RequestHead request_;
  http1::ResponseHead response_;
  http1::Fields trailers_;
  http1::Fields own_trailers_;  // to be sent
  http1::Asked asked_;
  http1::Fault fault_ = http1::Fault::kNone;
  bool head_ended_ = false;
};

class MessageSession final : public Session {
 public:
  using Event = EventOf<MessageStream>;

  // As Session's.
  MessageSession(Role role, ring::BufferPool& pool, Counters& counters, Clock::time_point now);

  [[nodiscard]] bool next_event(Event& event);

  // Client: a request; can_open() must hold. `ended`: it has no body.
  MessageStream& open(const http1::RequestHead& head, const http1::RequestEdits& edits, bool ended);
  // Server: an interim head, or the final one; `ended`: no body and no trailers follow. Once kRequest was told.
  void respond(MessageStream& stream, const http1::ResponseHead& head, const http1::Edits& edits, bool ended);
  // Server: a final head that is made here.
  void respond(MessageStream& stream, uint16_t status, std::span<const http1::FieldLine> fields, bool ended);
  // Half-close after what is queued.
  using Session::end;
  void end(MessageStream& stream, const http1::Fields& trailers);

 private:
  Stream* make_stream() override { return new MessageStream; }
  void block_begins(Stream& of) override;
  void header(Stream& of, std::string_view name, std::string_view value) override;
  bool head_is_whole(Stream& of, bool too_large, bool end) override;
  void trailers_are_whole(Stream& of, bool too_large) override;
  void add_trailers(Stream& of, HeaderList& list) override;

  http1::HeadBuilder builder_;  // of the header block that the codec reads: blocks never mingle
};

}  // namespace leat::http2
