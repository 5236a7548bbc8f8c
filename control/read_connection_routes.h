// VirtualService.tls and .tcp: where a connection goes whose bytes nobody looks at, but for the name in a ClientHello.
#pragma once

#include "control/field.h"
#include "control/objects.h"

namespace leat::control {

void read_connection_routes(const Field& spec, VirtualService& service);

}  // namespace leat::control
