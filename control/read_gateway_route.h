// HTTPRoute, GRPCRoute and ReferenceGrant of the Gateway API, as one YAML mapping each.
#pragma once

#include "control/field.h"
#include "control/objects.h"

namespace leat::control {

Object read_http_route(const Field& root, Meta meta);
Object read_grpc_route(const Field& root, Meta meta);
Object read_reference_grant(const Field& root, Meta meta);

}  // namespace leat::control
