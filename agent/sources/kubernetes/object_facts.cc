#include "agent/sources/kubernetes/object_facts.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace leat::sources {
namespace {

using control::Value;
using nlohmann::json;

constexpr std::string_view kMeshGroups[] = {"networking.istio.io/", "security.istio.io/", "telemetry.istio.io/",
                                            "gateway.networking.k8s.io/", "leat.dev/"};

const Value* find(const Value& document, std::initializer_list<std::string_view> path) {
  const Value* value = &document;
  for (const std::string_view name : path) {
    value = value->find(name);
    if (value == nullptr) return nullptr;
  }
  return value;
}

std::string text_at(const Value& document, std::initializer_list<std::string_view> path) {
  const Value* value = find(document, path);
  return value == nullptr ? "" : value->text;
}

int64_t to_number(std::string_view text) {
  int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// The Gateway API's defaults: a reference that names nothing else is one to a Gateway of the route's own namespace.
ParentRef read_ref(const Value& ref, const std::string& own_namespace) {
  ParentRef read{.json = json::object(), .key = {}, .text = {}};
  const auto take = [&](const char* name, std::string otherwise) {
    const Value* value = ref.find(name);
    if (value == nullptr || value->kind != Value::Kind::kScalar) return otherwise;
    read.json[name] = value->text;
    return value->text;
  };
  const std::string group = take("group", "gateway.networking.k8s.io"), kind = take("kind", "Gateway");
  const std::string ns = take("namespace", own_namespace), name = take("name", "");
  const std::string section = take("sectionName", ""), port = take("port", "");
  if (!port.empty()) read.json["port"] = to_number(port);
  read.key = fmt::format("{}|{}|{}|{}|{}|{}", group, kind, ns, name, section, port);
  if (group.empty() && kind == "Service")
    read.text = fmt::format("Service {}/{}{}{}", ns, name, port.empty() ? "" : ":", port);
  return read;
}

StatusParent read_parent(const Value& parent, const std::string& own_namespace) {
  StatusParent read;
  if (const Value* ref = parent.find("parentRef")) read.ref = read_ref(*ref, own_namespace);
  read.ours = text_at(parent, {"controllerName"}) == kController;
  const Value* conditions = read.ours ? parent.find("conditions") : nullptr;
  if (conditions == nullptr) return read;
  for (const Value& one : conditions->items) {
    read.conditions.emplace_back(text_at(one, {"type"}), Condition{.status = text_at(one, {"status"}),
                                                                   .reason = text_at(one, {"reason"}),
                                                                   .message = text_at(one, {"message"}),
                                                                   .generation = text_at(one, {"observedGeneration"}),
                                                                   .since = text_at(one, {"lastTransitionTime"})});
  }
  return read;
}

}  // namespace

bool has_facts(const control::Reader& reader) {
  return reader.kind != control::NodeWorkloads::kKind && std::ranges::any_of(kMeshGroups, [&](std::string_view group) {
           return reader.api_versions.starts_with(group);
         });
}

bool is_route(std::string_view kind) {
  return kind == control::GatewayHttpRoute::kKind || kind == control::GatewayGrpcRoute::kKind;
}

int64_t generation_of(const Value& document) { return to_number(text_at(document, {"metadata", "generation"})); }

void read_facts(const control::Reader& reader, const Value& document, bool usable, ObjectFacts& facts) {
  facts.uid = text_at(document, {"metadata", "uid"});
  facts.version = text_at(document, {"metadata", "resourceVersion"});
  if (usable) facts.generation = generation_of(document);
  if (!is_route(reader.kind)) return;
  const std::string ns = text_at(document, {"metadata", "namespace"});
  if (usable) {
    facts.refs.clear();
    if (const Value* refs = find(document, {"spec", "parentRefs"})) {
      for (const Value& ref : refs->items) facts.refs.push_back(read_ref(ref, ns));
    }
  }
  facts.has_status = find(document, {"status"}) != nullptr;
  const Value* parents = find(document, {"status", "parents"});
  facts.has_parents = parents != nullptr && parents->kind == Value::Kind::kList;
  facts.parents.clear();
  if (!facts.has_parents) return;
  for (const Value& parent : parents->items) facts.parents.push_back(read_parent(parent, ns));
}

}  // namespace leat::sources
