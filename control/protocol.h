// What a Service port speaks, by what its owner declares.
#pragma once

#include "control/objects.h"
#include "leat.pb.h"

namespace leat::control {

enum class Declared : uint8_t {
  kNothing,
  kHttp,
  kHttp2,   // with prior knowledge; gRPC too
  kOpaque,  // TCP, TLS, databases
};

// appProtocol, where there is one, else the port's name or its part before the first '-', as Istio reads them.
Declared declared_protocol(const ServicePortSpec& port);
// `routed`: a VirtualService routes HTTP of this Service.
v1::Protocol protocol_of(Declared declared, bool routed);

}  // namespace leat::control
