#include "agent/proxy_session.h"

#include <algorithm>
#include <string>
#include <utility>

#include "agent/limits.h"
#include "common/ip.h"

namespace leat::agent {
namespace {

using Kind = v1::ToAgent::KindCase;

bool printable(char c) { return c > 0x20 && c < 0x7f; }

Result<void> check_text(std::string_view text, const char* what) {
  if (text.empty() || text.size() > limits::kMaxTextBytes) {
    return fail(ErrorCode::kProtocol, "{} has {} bytes, not 1 to {}", what, text.size(), limits::kMaxTextBytes);
  }
  if (!std::ranges::all_of(text, printable))
    return fail(ErrorCode::kProtocol, "{} is not printable ASCII without spaces", what);
  return {};
}

Result<void> check_id(const v1::ListenerId& id) {
  LEAT_TRY_VOID(check_text(id.workload_uid(), "a listener's workload uid"));
  if (!v1::ListenerRole_IsValid(id.role()))
    return fail(ErrorCode::kProtocol, "{} is no listener role", static_cast<int>(id.role()));
  if (id.epoch() == 0) return fail(ErrorCode::kProtocol, "a listener has epoch 0");
  return {};
}

Result<void> check_address(std::string_view address) {
  if (!IpAddress::from_wire(address))
    return fail(ErrorCode::kProtocol, "an address has {} bytes, not 4 or 16", address.size());
  return {};
}

Result<void> check(const v1::SocketRequest& request) {
  if (request.count() == 0 || request.count() > limits::kMaxSocketsARequest) {
    return fail(ErrorCode::kProtocol, "{} sockets are asked for, not 1 to {}", request.count(),
                limits::kMaxSocketsARequest);
  }
  return check_text(request.workload_uid(), "the workload uid of a socket request");
}

Result<void> check(const v1::SignRequest& request) {
  if (request.csr_der().empty() || request.csr_der().size() > limits::kMaxCsrBytes) {
    return fail(ErrorCode::kProtocol, "a certificate request has {} bytes, not 1 to {}", request.csr_der().size(),
                limits::kMaxCsrBytes);
  }
  return check_text(request.identity(), "the identity of a certificate request");
}

Result<void> check(const v1::SourceIdRequest& request) {
  LEAT_TRY_VOID(check_address(request.address()));
  return check_text(request.workload_uid(), "the workload uid of a source id request");
}

Result<void> check(const v1::Revoked& revoked) {
  if (revoked.lease_epoch() == 0) return fail(ErrorCode::kProtocol, "a lease of epoch 0 is confirmed as revoked");
  return {};
}

void make_printable(std::string& text) {
  // Bytes above 0x7f are whole UTF-8 here: protobuf refuses a string that is not.
  std::ranges::replace_if(text, [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; }, '?');
}

void make_printable(v1::FlowReply& reply) {
  for (v1::Flow& flow : *reply.mutable_flows()) {
    for (std::string* text :
         {flow.mutable_node(), flow.mutable_source_namespace(), flow.mutable_source_pod(),
          flow.mutable_destination_service(), flow.mutable_destination_namespace(), flow.mutable_destination_pod(),
          flow.mutable_security(), flow.mutable_peer_identity(), flow.mutable_protocol(), flow.mutable_verdict(),
          flow.mutable_reason(), flow.mutable_cure()}) {
      make_printable(*text);
    }
  }
}

void make_printable(v1::StatsReply& reply) {
  for (v1::Certificate& certificate : *reply.mutable_certificates()) {
    for (std::string* text : {certificate.mutable_identity(), certificate.mutable_serial(), certificate.mutable_state(),
                              certificate.mutable_last_error()}) {
      make_printable(*text);
    }
  }
  for (v1::Counter& counter : *reply.mutable_counters()) {
    make_printable(*counter.mutable_name());
    google::protobuf::Map<std::string, std::string> labels;
    for (auto [name, value] : counter.labels()) {
      std::string clean_name = name;
      make_printable(clean_name);
      make_printable(value);
      labels[clean_name] = value;
    }
    counter.mutable_labels()->swap(labels);
  }
}

void make_printable(v1::TapReply& reply) {
  for (v1::TappedRequest& request : *reply.mutable_requests()) {
    for (std::string* text :
         {request.mutable_node(), request.mutable_method(), request.mutable_authority(), request.mutable_path(),
          request.mutable_protocol(), request.mutable_flags(), request.mutable_source_namespace(),
          request.mutable_source_pod(), request.mutable_service(), request.mutable_destination_namespace(),
          request.mutable_destination_pod(), request.mutable_trace_id(), request.mutable_security(),
          request.mutable_reason(), request.mutable_subset()}) {
      make_printable(*text);
    }
  }
}

Result<void> check_addresses(const v1::TapReply& reply) {
  for (const v1::TappedRequest& request : reply.requests()) {
    if (!request.destination_address().empty()) LEAT_TRY_VOID(check_address(request.destination_address()));
    if (request.destination_port() > 65535) return fail(ErrorCode::kProtocol, "a request has a port above 65535");
  }
  return {};
}

Result<void> check_addresses(const v1::FlowReply& reply) {
  for (const v1::Flow& flow : reply.flows()) {
    for (const std::string* address :
         {&flow.source_address(), &flow.destination_address(), &flow.requested_address()}) {
      if (!address->empty()) LEAT_TRY_VOID(check_address(*address));
    }
    if (std::max({flow.source_port(), flow.destination_port(), flow.requested_port()}) > 65535) {
      return fail(ErrorCode::kProtocol, "a flow has a port above 65535");
    }
  }
  return {};
}

}  // namespace

ProxySession::ProxySession(Time now) : rate_(limits::kMessagesASecond, limits::kMessageBurst, now) {}

Result<std::optional<v1::ToAgent>> ProxySession::accept(std::string_view bytes, size_t fds, Time now) {
  delay_ = rate_.take_on_credit(1, now);
  v1::ToAgent message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return fail(ErrorCode::kProtocol, "a message of {} bytes can't be decoded", bytes.size());
  }
  const Kind kind = message.kind_case();
  if (kind == Kind::KIND_NOT_SET) return std::nullopt;
  if (greeted_ == (kind == Kind::kHello)) {
    return fail(ErrorCode::kProtocol, "{}", greeted_ ? "a second Hello" : "the first message is not Hello");
  }
  if (fds != 0 && kind != Kind::kHello && kind != Kind::kHelloListeners) {
    return fail(ErrorCode::kProtocol, "{} descriptors came with a message that has none", fds);
  }
  switch (kind) {
    case Kind::kHello:
      LEAT_TRY_VOID(check(message.hello(), fds));
      break;
    case Kind::kHelloListeners:
      LEAT_TRY_VOID(check(message.hello_listeners(), fds));
      break;
    case Kind::kAck:
      LEAT_TRY_VOID(check(message.ack()));
      break;
    case Kind::kSocketRequest:
      LEAT_TRY_VOID(agent::check(message.socket_request()));
      break;
    case Kind::kSignRequest:
      LEAT_TRY_VOID(agent::check(message.sign_request()));
      break;
    case Kind::kSourceIdRequest:
      LEAT_TRY_VOID(agent::check(message.source_id_request()));
      break;
    case Kind::kRevoked:
      LEAT_TRY_VOID(agent::check(message.revoked()));
      break;
    case Kind::kListenerDied:
      LEAT_TRY_VOID(check_id(message.listener_died().listener()));
      break;
    case Kind::kFlowReply:
      LEAT_TRY_VOID(check_addresses(message.flow_reply()));
      make_printable(*message.mutable_flow_reply());
      break;
    case Kind::kStatsReply:
      make_printable(*message.mutable_stats_reply());
      break;
    case Kind::kTapReply:
      LEAT_TRY_VOID(check_addresses(message.tap_reply()));
      make_printable(*message.mutable_tap_reply());
      break;
    case Kind::kSourceIdRelease:
    case Kind::kCountersRequest:
    case Kind::KIND_NOT_SET:
      break;
  }
  return message;
}

std::chrono::milliseconds ProxySession::take_delay() { return std::exchange(delay_, std::chrono::milliseconds(0)); }

Result<void> ProxySession::check(const v1::Hello& hello, size_t fds) {
  LEAT_TRY_VOID(check_text(hello.version(), "the version"));
  LEAT_TRY_VOID(check_text(hello.instance(), "the instance"));
  LEAT_TRY_VOID(check_text(hello.backend(), "the back end"));
  if (hello.lease_epoch() > limits::kMaxLeaseEpoch) {
    return fail(ErrorCode::kProtocol, "lease epoch {} was never granted", hello.lease_epoch());
  }
  if (hello.listener_total() > limits::kMaxHeldListeners) {
    return fail(ErrorCode::kProtocol, "{} listeners are announced, more than {}", hello.listener_total(),
                limits::kMaxHeldListeners);
  }
  announced_listeners_ = std::max<size_t>(hello.listener_total(), static_cast<size_t>(hello.listeners_size()));
  v1::HelloListeners first;
  *first.mutable_listeners() = hello.listeners();
  LEAT_TRY_VOID(check(first, fds));
  greeted_ = true;
  return {};
}

Result<void> ProxySession::check(const v1::HelloListeners& more, size_t fds) {
  const auto count = static_cast<size_t>(more.listeners_size());
  if (count != fds) return fail(ErrorCode::kProtocol, "{} listeners came with {} descriptors", count, fds);
  listeners_ += count;
  if (listeners_ > announced_listeners_) {
    return fail(ErrorCode::kProtocol, "{} listeners came, {} were announced", listeners_, announced_listeners_);
  }
  for (const v1::ListenerId& id : more.listeners()) LEAT_TRY_VOID(check_id(id));
  return {};
}

Result<void> ProxySession::check(const v1::Ack& ack) const {
  if (ack.generation() > sent_generation_) {
    return fail(ErrorCode::kProtocol, "generation {} is acknowledged, {} is the newest that was sent", ack.generation(),
                sent_generation_);
  }
  return {};
}

}  // namespace leat::agent
