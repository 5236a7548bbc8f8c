// One request of a client and its response: what travels, in which order, and how it may fail. A try sends the request
// to one upstream and delivers what that answers; it may be followed by another as long as the client has seen nothing
// of a response. Both directions run at once, each reads again only when its last write was taken, and nothing is held
// while a side is silent but a small body, to be sent again. Where the request goes, and whether it is tried again, is
// decided elsewhere (http_request.h).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "userspace-proxy/flow/classify.h"
#include "userspace-proxy/flow/http_codec.h"
#include "userspace-proxy/flow/local_answer.h"
#include "userspace-proxy/flow/upstream_pool.h"
#include "userspace-proxy/http1/head_edits.h"
#include "userspace-proxy/resilience/deadlines.h"

namespace leat::proxy {

class HttpExchange {
 public:
  HttpExchange(Worker& worker, FlowRecord& record, HttpClient& client);
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;
  ~HttpExchange();

  // ---- the request's head
  enum class Head : uint8_t {
    kPartial,  // more bytes are needed
    kWhole,    // request() stands
    kFault,    // fault() says which
  };
  Head take(ring::Chain bytes);
  Head take_end();  // the client has ended; kPartial: it had not begun
  [[nodiscard]] const http1::RequestHead& request() const { return from_client_.head(); }
  [[nodiscard]] bool has_request() const { return from_client_.has_head(); }
  [[nodiscard]] http1::Fault fault() const { return from_client_.fault(); }

  // What is to change in the heads on their way; the request's until try_at(), the response's until its first byte.
  [[nodiscard]] http1::HeadEdits& request_edits() { return request_edits_; }
  [[nodiscard]] http1::HeadEdits& response_edits() { return response_edits_; }

  // ---- what holds for its tries
  // Asked with the head of a final response, of which nothing was delivered yet, and with the trailers where they were
  // waited for. True: another try follows, and this response is not wanted.
  using Unwanted = std::function<bool(const http1::ResponseHead&, const http1::Fields* trailers)>;
  void on_response(Unwanted unwanted) { unwanted_ = std::move(unwanted); }
  // The reply to a gRPC call is held back until its trailers are there, within the bounds of reply_hold.h.
  void hold_reply() { holds_reply_ = true; }
  // Small bodies are kept, so that they can be sent again.
  void keep_repeatable();
  // How long it all may take. What is set after the first try comes too late.
  [[nodiscard]] Deadlines& deadlines() { return deadlines_; }

  // ---- a try
  enum class End : uint8_t {
    kAnswered,     // whole
    kUpgraded,     // 101 was delivered: from here on both sides speak something else, see upstream()
    kUnwanted,     // it was answered with what the client need not see
    kUnanswered,   // the upstream ended before a byte of its response
    kUnprocessed,  // … and says that it has not looked at the request
    kBadResponse,  // it sent no valid response, of which the client has seen nothing
    kTooLate,      // a deadline passed, and the client has seen nothing
    kCutShort,     // it failed, or a deadline passed, in the midst of a response
    kBadRequest,   // the client's body is not valid, fault() says why, and no response had begun
    kClientGone,   // the client was reset
  };
  // Sends the request and delivers the response. Ends only when nothing runs any more, and the upstream is back in its
  // pool, or ended (but for kUpgraded).
  ring::Task<End> try_at(UpstreamPtr upstream);
  // In the next try, `silent` is called when nothing of a response came within `time` after all of the request was
  // sent.
  void on_silence(ring::Clock::duration time, std::function<void()> silent);
  // Asks a second upstream in the same try: the first to answer with what is wanted serves it, the other is reset.
  // False: the try is over, or about to be.
  bool race(UpstreamPtr& rival);
  // It is the one that has answered first, in the last try.
  [[nodiscard]] bool rival_leads() const { return rival_leads_; }
  // Another upstream may yet answer this try.
  [[nodiscard]] bool has_rival() const { return rival_ && rival_sent_; }
  // Holds the request back until then. False: the client is gone.
  ring::Task<bool> pause(ring::Clock::time_point until);
  // Delivers an answer made here. False: the client is gone.
  ring::Task<bool> answer(const LocalAnswer& answer);

  // Another try can send all of it.
  [[nodiscard]] bool is_repeatable() const { return messages_->replay.whole() && keeps_body_ && !client_gone_; }
  [[nodiscard]] bool request_is_whole() const { return from_client_.ended(); }
  // The request's body, where it is whole and was kept.
  [[nodiscard]] std::optional<std::span<const uint8_t>> kept_body() const {
    if (!request_is_whole() || !keeps_body_ || !messages_->replay.whole()) return std::nullopt;
    return messages_->replay.bytes();
  }
  // Before its response: no other request is to follow on the client's connection.
  void end_connection();
  [[nodiscard]] bool client_gone() const { return client_gone_; }
  // The client may send another request on this connection. What it has sent of it is back in the client.
  [[nodiscard]] bool connection_goes_on() const { return keep_alive_ && !client_gone_; }
  // The client may be sending still: who closes the connection now must read that first.
  [[nodiscard]] bool leaves_bytes() const { return !from_client_.ended() || client_.ahead(); }
  // The client waits for the answer to a gRPC call.
  [[nodiscard]] bool is_grpc() const;
  // How that was answered, as far as the client was told.
  [[nodiscard]] std::optional<grpc::Status> grpc_status() const { return grpc_status_; }
  // Ends an answer that has begun and can't be finished, in the words of gRPC. False: it can't.
  bool end_call(bool too_late);
  [[nodiscard]] UpstreamPtr& upstream() { return upstream_; }

  // ---- the account
  // The head that the upstream sent last; null if it sent none.
  [[nodiscard]] const http1::ResponseHead* response() const {
    return from_upstream_.has_head() ? &from_upstream_.head() : nullptr;
  }
  [[nodiscard]] uint16_t code() const { return code_; }  // that the client got; 0: none
  [[nodiscard]] uint64_t request_bytes() const { return from_client_.body_bytes(); }
  [[nodiscard]] uint64_t response_bytes() const { return from_upstream_.body_bytes(); }

 private:
  enum class Held : uint8_t { kNo, kYes, kLongEnough };

  // ---- the request
  void name_host();
  ring::Task<void> send_request();
  [[nodiscard]] bool put_request_head(ring::Chain& out);
  [[nodiscard]] bool put_request_body(ring::Chain& out);
  [[nodiscard]] bool put_replay();
  void keep_body();
  ring::Detached pump_request();
  ring::Task<void> stop_pump();
  void request_is_sent();
  void watch_client();
  void client_spoke();
  // ---- a second upstream
  ring::Detached ask_rival(UpstreamConnection& rival);
  void rival_spoke();
  bool fall_back_to_rival();
  void drop_rival();
  ring::Task<void> end_rival();

  void client_failed();

  // ---- time
  void watch_time();
  void time_is_up();

  // ---- the response
  ring::Task<End> relay_response();
  [[nodiscard]] std::optional<End> judge_head();
  [[nodiscard]] bool is_unwanted(const http1::Fields* trailers) const;
  void hold();
  void let_reply_go();
  void give_back_upstream(const ring::Chain& left);
  [[nodiscard]] bool put_response_head(ring::Chain& out);
  [[nodiscard]] bool put_response_body(ring::Chain& out, ring::Chain& body) const;
  ring::Task<bool> deliver(ring::Chain out, bool whole);
  [[nodiscard]] End end_of_failure() const;
  [[nodiscard]] bool upstream_is_reusable() const;
  [[nodiscard]] http1::Client client_side() const;
  [[nodiscard]] bool has_valid_head() const { return from_client_.has_head() && fault() == http1::Fault::kNone; }
  [[nodiscard]] grpc::Status grpc_status_of(const LocalAnswer& answer) const;

  Worker& worker_;
  FlowRecord& record_;
  HttpClient& client_;
  HttpMessageStock::Loan messages_;
  ClientCodec from_client_;
  UpstreamCodec from_upstream_;
  http1::HeadEdits request_edits_, response_edits_;
  Unwanted unwanted_;
  std::function<void()> silent_;
  ring::Clock::duration silence_{};
  Deadlines deadlines_;
  std::optional<ring::Timer> timer_;  // where there is a deadline
  std::optional<ring::Timer> silence_timer_;
  std::optional<ring::Timer> hold_timer_;
  UpstreamPtr upstream_;
  UpstreamPtr rival_;  // asked as well
  ring::Chain input_;  // from the client, behind what was read
  ring::Chain body_;   // of the request, not sent yet
  ring::Signal pump_ended_;
  ring::Signal rival_asked_;
  ring::Signal* paused_ = nullptr;  // while pause() waits
  std::optional<grpc::Status> grpc_status_;
  uint32_t upstream_reset_ = 0;  // how an HTTP/2 upstream has ended the last try; 0: it has not
  uint16_t code_ = 0;
  uint8_t interims_ = 0;      // 1xx that were relayed
  bool keep_alive_ = false;   // as the client was told
  bool last_ = false;         // of the client's connection
  bool keeps_body_ = false;   // for another try
  bool tried_ = false;        // once at least
  bool delivering_ = false;   // a write to the client is under way
  bool delivered_ = false;    // bytes of the final response went to the client
  bool sent_ = false;         // nothing more of the request is to be sent
  bool unsent_ = false;       // a write to the upstream failed
  bool too_late_ = false;     // a deadline has ended this try
  bool half_closed_ = false;  // the client has ended its side, and so do we towards the upstream
  bool client_gone_ = false;
  bool pumping_ = false;
  bool stopping_ = false;
  Held held_ = Held::kNo;     // the reply
  bool holds_reply_ = false;  // may
  bool asking_rival_ = false;
  bool rival_sent_ = false;   // all of the request
  bool rival_leads_ = false;  // it is upstream_ now
};

}  // namespace leat::proxy
