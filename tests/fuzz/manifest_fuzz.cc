// Manifests, from text to the mesh model: whatever is in them, the compiler ends, its ids are unique, and its model can
// be sent as a change.
#include <cstdint>
#include <set>
#include <string_view>

#include "common/check.h"
#include "control/compile.h"
#include "control/delta.h"
#include "control/file_set.h"

using namespace leat::control;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FileSet files;
  files.put("fuzz.yaml", parse({reinterpret_cast<const char*>(data), size}, "fuzz.yaml", "default"));
  (void)files.findings();

  Books books;
  Compiler compiler("node-a", books);
  const CompiledMesh compiled = compiler.compile(files.objects());
  std::set<uint32_t> ids;
  for (const PlannedAlias& alias : compiled.plan.aliases) {
    LEAT_CHECK(ids.insert(alias.id).second, "an alias id that two addresses have");
  }
  leat::v1::Mesh mesh;
  apply(mesh, diff(mesh, compiled.mesh));
  LEAT_CHECK(is_empty(diff(mesh, compiled.mesh)), "a change that does not lead to the model");
  LEAT_CHECK(is_empty(diff(mesh, compiler.compile(files.objects()).mesh)), "the same objects, another model");
  return 0;
}
