// The mesh's settings where no Mesh object says otherwise.
#pragma once

#include "leat.pb.h"

namespace leat::control {

v1::MeshSettings default_settings();

}  // namespace leat::control
