// What a coroutine can wait for at a socket. An operation lives in the awaiter, so in the frame of the coroutine that waits: nothing is
// allocated for it, and the kernel's completion names it by address. Back ends carry operations out and complete them from the loop's own
// turn, never inside a call of the user's.
#pragma once

#include <netinet/in.h>

#include <coroutine>
#include <cstdint>

#include "userspace-proxy/ring/buffer.h"
#include "userspace-proxy/ring/loop.h"

namespace leat::ring {

class SocketState;

// An operation in flight is never moved; one socket has at most one of each kind, connect counting as a send.
struct Operation {
  enum class Kind : uint8_t { kReceive, kSend, kConnect, kHangup };

  Operation(Kind which, SocketState* of) : kind(which), socket(of) {}

  Kind kind;
  bool starved = false;     // a receive that waits for a block of the pool
  int error = 0;            // the outcome: 0 or a positive errno
  SocketState* socket;      // null: the socket was closed before
  Operation* next = nullptr;  // in a back end's queue
  std::coroutine_handle<> waiter{};
};

struct ReceiveOperation : Operation {
  explicit ReceiveOperation(SocketState* of) : Operation(Kind::kReceive, of) {}
  Chain received;
};

struct SendOperation : Operation {
  SendOperation(SocketState* of, Chain&& bytes) : Operation(Kind::kSend, of), left(std::move(bytes)) {}
  Chain left;
};

struct ConnectOperation : Operation {
  explicit ConnectOperation(SocketState* of) : Operation(Kind::kConnect, of) {}
  sockaddr_in6 address{};  // or a sockaddr_in
  socklen_t address_bytes = 0;
};

}  // namespace leat::ring
