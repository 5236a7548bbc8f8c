// What a Service port speaks, by what its owner declares.
#pragma once

#include "control/objects.h"
#include "leat.pb.h"

namespace leat::control {

enum class Declared : uint8_t {
  kNothing,
  kHttp,
  kHttp2,   // with prior knowledge; gRPC too
  kTls,     // of the applications' own
  kOpaque,  // TCP, databases
};

// appProtocol, where there is one, else the port's name or its part before the first '-', as Istio reads them.
Declared declared_protocol(const ServicePortSpec& port);
// What is to be told apart at a port: routes for HTTP hold there, or some for names of TLS (or several hosts have its
// address).
struct Routed {
  bool http = false;
  bool tls = false;
};
v1::Protocol protocol_of(Declared declared, Routed routed);

}  // namespace leat::control
