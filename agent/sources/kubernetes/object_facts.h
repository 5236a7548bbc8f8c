// What is kept of a mesh's objects beside what the mesh is made of: enough to write about them to the cluster. Not of
// Kubernetes' own kinds, of which there are too many.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/read_object.h"

namespace leat::sources {

inline constexpr char kController[] = "leat.dev/mesh";  // in the status of routes

struct Condition {
  std::string status;  // "True", "False"
  std::string reason, message, generation, since;
  bool operator==(const Condition&) const = default;
};

// A parentRef, in the spec or in the status.
struct ParentRef {
  nlohmann::json json;  // as the object has it, of the fields that a ParentReference has
  std::string key;      // the same for two that mean the same
  std::string text;     // "Service shop/backend:8080", as v1.RouteStatus has it; of Services only
};

// An entry of status.parents[].
struct StatusParent {
  bool ours = false;  // else of another controller: it is never touched
  ParentRef ref;
  std::vector<std::pair<std::string, Condition>> conditions;  // by type, of ours
};

struct ObjectFacts {
  std::string uid;
  std::string version;     // of the object
  int64_t generation = 0;  // of the spec that is among the objects; 0: the server does not count, or none could be used
  int64_t judged = 0;      // of the spec that the mesh was made of last
  // Of a route alone.
  std::vector<ParentRef> refs;  // spec.parentRefs, of `generation`
  bool has_status = false, has_parents = false;
  std::vector<StatusParent> parents;
};

// Whether facts are kept of this kind.
bool has_facts(const control::Reader& reader);
bool is_route(std::string_view kind);

// Brings the facts to what `document` says. `usable`: it is among the objects now.
void read_facts(const control::Reader& reader, const control::Value& document, bool usable, ObjectFacts& facts);
// metadata.generation; 0: none.
int64_t generation_of(const control::Value& document);

}  // namespace leat::sources
