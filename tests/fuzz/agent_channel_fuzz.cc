// What a hostile proxy may send the agent: any number of messages, each any bytes with any number of descriptors, on
// several connections, mixed with losses, exits and time. Nothing may crash; what passes keeps what proxy_session.h
// promises; and the lease keeps its own.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <fuzzer/FuzzedDataProvider.h>

#include "agent/lease.h"
#include "agent/limits.h"
#include "agent/proxy_session.h"
#include "common/check.h"
#include "common/ip.h"

namespace {

using leat::agent::ConnectionId;
using leat::agent::LeaseAction;
using leat::agent::LeaseBook;
using leat::agent::ProxySession;
namespace limits = leat::agent::limits;
namespace v1 = leat::v1;

// What every message that passed must be.
void check_promises(const v1::ToAgent& message, size_t fds) {
  switch (message.kind_case()) {
    case v1::ToAgent::kHello:
      LEAT_CHECK(static_cast<size_t>(message.hello().listeners_size()) == fds, "a listener without its descriptor");
      break;
    case v1::ToAgent::kHelloListeners:
      LEAT_CHECK(static_cast<size_t>(message.hello_listeners().listeners_size()) == fds,
                 "a listener without its descriptor");
      break;
    case v1::ToAgent::kSocketRequest:
      LEAT_CHECK(message.socket_request().count() - 1 < limits::kMaxSocketsARequest, "too many sockets");
      break;
    case v1::ToAgent::kSourceIdRequest:
      LEAT_CHECK(leat::IpAddress::from_wire(message.source_id_request().address()), "an address that is none");
      break;
    case v1::ToAgent::kFlowReply:
      for (const v1::Flow& flow : message.flow_reply().flows()) {
        for (const char c : flow.reason())
          LEAT_CHECK(static_cast<unsigned char>(c) >= 0x20, "a control character reaches a terminal");
      }
      break;
    default:
      break;
  }
}

struct Connection {
  ConnectionId id;
  ProxySession session;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider input(data, size);
  auto now = ProxySession::Time{};
  LeaseBook lease(input.ConsumeIntegral<uint64_t>() >> 1, input.ConsumeRandomLengthString(8), input.ConsumeBool(), now);
  std::vector<Connection> connections;
  ConnectionId next = 1;
  uint64_t epoch = lease.epoch();
  const auto perform = [&](const LeaseBook::Actions& actions) {
    LEAT_CHECK(actions.size() <= 1, "one event has one consequence");
    if (!actions.empty() && actions[0].kind == LeaseAction::Kind::kGrant)
      LEAT_CHECK(actions[0].epoch >= epoch, "an epoch goes back");
    epoch = lease.epoch();
  };
  while (input.remaining_bytes() > 0) {
    now += std::chrono::milliseconds(input.ConsumeIntegralInRange(0, 2000));
    perform(lease.tick(now));
    if (connections.empty() || input.ConsumeIntegralInRange(0, 9) == 0)
      connections.push_back({next++, ProxySession(now)});
    const size_t chosen = input.ConsumeIntegralInRange<size_t>(0, connections.size() - 1);
    Connection& connection = connections[chosen];
    const size_t fds = input.ConsumeIntegralInRange<size_t>(0, 4);
    const std::string bytes = input.ConsumeRandomLengthString(4096);
    const auto accepted = connection.session.accept(bytes, fds, now);
    if (!accepted || input.ConsumeIntegralInRange(0, 15) == 0) {
      perform(lease.disconnected(connection.id, now));
      perform(lease.exited(connection.id, now));
      connections.erase(connections.begin() + static_cast<std::ptrdiff_t>(chosen));
      continue;
    }
    if (!*accepted) continue;
    const v1::ToAgent& message = **accepted;
    check_promises(message, fds);
    if (message.has_hello())
      perform(lease.hello(connection.id, message.hello().instance(), message.hello().lease_epoch(), now));
    if (message.has_ack()) perform(lease.ready(connection.id, now));
    if (message.has_revoked()) perform(lease.revoked(connection.id, message.revoked().lease_epoch(), now));
  }
  return 0;
}
