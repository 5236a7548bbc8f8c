// What is seen of requests, as Telemetry objects and the Mesh object ask for it.
#pragma once

#include "control/field.h"
#include "control/objects.h"

namespace leat::control {

Object read_telemetry(const Field& root, Meta meta);

// spec.tracing and spec.accessLog of a Mesh.
void read_mesh_telemetry(const Field& spec, v1::MeshSettings& settings);

}  // namespace leat::control
