#include "userspace-proxy/ring/backend.h"

#include <utility>

namespace leat::ring {

void Backend::starve(ReceiveOperation& operation) {
  (operation.socket->uses_reserve ? starved_reserve_ : starved_).push(operation);
}

void Backend::retry(OperationQueue& starved, uint32_t blocks) {
  if (blocks == 0 && !starved.empty()) ++loop_.counters_.starved_turns;
  for (; blocks > 0 && !starved.empty(); --blocks) {
    Operation& operation = *starved.first();
    starved.remove(operation);
    start(static_cast<ReceiveOperation&>(operation));
  }
}

void Backend::complete(Operation& operation, int error) {
  SocketState& socket = *operation.socket;
  operation.error = error;
  socket.slot(operation.kind) = nullptr;
  if (socket.closing && socket.idle()) retire(socket);
  operation.waiter.resume();  // the operation is gone after this
}

void Backend::complete_soon(Operation& operation, int error) {
  if (operation.in) operation.in->remove(operation);
  operation.error = error;
  due_.push(operation);
}

void Backend::cancel_all(SocketState& socket) {
  for (Operation* operation : {socket.receiving, socket.sending, socket.hanging}) {
    if (operation) cancel(*operation);
  }
}

void Backend::close(SocketState& socket) {
  socket.closing = true;
  if (socket.idle()) {
    retire(socket);
  } else {
    cancel_all(socket);
  }
}

void Backend::retire(SocketState& socket) {
  forget(socket);
  socket.fd.reset();
  graveyard_.emplace_back(&socket);
}

}  // namespace leat::ring
