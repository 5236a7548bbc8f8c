// What a coroutine can wait for at a socket. An operation lives in the awaiter, so in the frame of the coroutine that
// waits: nothing is allocated for it, and the kernel's completion names it by address. Back ends carry operations out
// and complete them from the loop's own turn, never inside a call of the user's.
#pragma once

#include <netinet/in.h>

#include <coroutine>
#include <cstdint>

#include "userspace-proxy/ring/buffer.h"
#include "userspace-proxy/ring/loop.h"

namespace leat::ring {

class OperationQueue;
class SocketState;

// An operation in flight is never moved; one socket has at most one of each kind, connect counting as a send.
struct Operation {
  enum class Kind : uint8_t { kReceive, kSend, kConnect, kHangup };

  Operation(Kind which, SocketState* of) : kind(which), socket(of) {}

  Kind kind;
  bool cancelled = false;        // asked to end; the kernel may not know yet
  int error = 0;                 // the outcome: 0 or a positive errno
  SocketState* socket;           // null: the socket was closed before
  OperationQueue* in = nullptr;  // a back end's queue, while the kernel does not hold it
  Operation* next = nullptr;
  Operation* previous = nullptr;
  std::coroutine_handle<> waiter{};
};

// First in, first out, with removal from anywhere.
class OperationQueue {
 public:
  [[nodiscard]] bool empty() const { return first_ == nullptr; }
  [[nodiscard]] Operation* first() const { return first_; }
  [[nodiscard]] Operation* last() const { return last_; }
  void push(Operation& operation) {
    operation.in = this;
    operation.previous = last_;
    operation.next = nullptr;
    (last_ ? last_->next : first_) = &operation;
    last_ = &operation;
  }
  void remove(Operation& operation) {
    (operation.previous ? operation.previous->next : first_) = operation.next;
    (operation.next ? operation.next->previous : last_) = operation.previous;
    operation.in = nullptr;
  }

 private:
  Operation* first_ = nullptr;
  Operation* last_ = nullptr;
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
  sockaddr_storage address;
  socklen_t address_bytes = 0;
};

struct HangupOperation : Operation {
  explicit HangupOperation(SocketState* of) : Operation(Kind::kHangup, of) {}
  bool dead = false;  // seen, the kernel's watch is being taken back
};

}  // namespace leat::ring
