// What changed between two mesh models, and the way back. Both models are sorted as CompiledMesh::mesh says; one merge
// walk each.
#pragma once

#include "leat.pb.h"

namespace leat::control {

// Upserts whole entries; holds nothing that did not change. Settings are set only if they differ.
v1::MeshChange diff(const v1::Mesh& before, const v1::Mesh& after);
bool is_empty(const v1::MeshChange& change);

// apply(m, diff(m, n)) makes m equal to n, sorted. A removed key that is not there is no error; the change's lists are
// sorted as diff makes them.
void apply(v1::Mesh& mesh, v1::MeshChange change);

}  // namespace leat::control
