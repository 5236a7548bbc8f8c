#include "userspace-proxy/ring/backend.h"

#include <utility>

namespace leat::ring {

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
