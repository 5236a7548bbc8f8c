#include "control/enrolment.h"

#include <doctest/doctest.h>

using namespace leat::control;

namespace {

constexpr char kOutside[] = "namespace shop has no label leat.dev/mesh: enabled";

// Why a pod of namespace shop is outside the mesh; empty: it belongs into it.
std::string outside(bool ambient_label, Labels of_namespace, Labels of_pod, Labels annotations = {}) {
  ObjectSet objects;
  objects.put(AgentSettings{.meta = {.name = {"", "default"}}, .ambient_label = ambient_label});
  Namespace space;
  space.meta = {.name = {"", "shop"}, .labels = std::move(of_namespace)};
  objects.put(space);
  Pod pod;
  pod.meta = {.name = {"shop", "a"}, .labels = std::move(of_pod), .annotations = std::move(annotations)};
  return why_outside(pod, objects);
}

Labels own(const char* value) { return {{kMeshLabel, value}}; }
Labels ambient(const char* value) { return {{kAmbientLabel, value}}; }
Labels both(const char* leat, const char* istio) { return {{kMeshLabel, leat}, {kAmbientLabel, istio}}; }

}  // namespace

TEST_CASE("Leat's label on the namespace asks for a pod, on the pod it lets it out") {
  CHECK(outside(false, {}, {}) == kOutside);
  CHECK(outside(false, own("enabled"), {}).empty());
  CHECK(outside(false, own("enabled"), own("disabled")) == "label leat.dev/mesh: disabled on the pod");
  CHECK(outside(false, {}, own("enabled")) == kOutside);
  CHECK(outside(false, own("disabled"), {}) == "label leat.dev/mesh: disabled on namespace shop");
}

TEST_CASE("ambient's label says nothing unless the settings honour it") {
  CHECK(outside(false, ambient("ambient"), {}) == kOutside);
  CHECK(outside(false, {}, ambient("ambient")) == kOutside);
  CHECK(outside(false, own("enabled"), ambient("none")).empty());
}

TEST_CASE("ambient's label asks for a namespace or for a pod alone, and a pod's word wins") {
  CHECK(outside(true, ambient("ambient"), {}).empty());
  CHECK(outside(true, {}, ambient("ambient")).empty());
  CHECK(outside(true, ambient("ambient"), ambient("none")) == "label istio.io/dataplane-mode: none on the pod");
  CHECK(outside(true, ambient("none"), ambient("ambient")).empty());
  CHECK(outside(true, ambient("none"), {}) == "label istio.io/dataplane-mode: none on namespace shop");
  CHECK(outside(true, ambient("other"), {}) == kOutside);
}

TEST_CASE("of one object's labels Leat's wins over ambient's") {
  CHECK(outside(true, both("disabled", "ambient"), {}) == "label leat.dev/mesh: disabled on namespace shop");
  CHECK(outside(true, both("enabled", "none"), {}).empty());
  CHECK(outside(true, own("enabled"), both("disabled", "ambient")) == "label leat.dev/mesh: disabled on the pod");
  CHECK(outside(true, own("enabled"), both("enabled", "none")).empty());
}

TEST_CASE("a pod that another mesh has is left to it") {
  const auto with = [](const char* annotation, const char* value) {
    return outside(false, own("enabled"), {}, {{annotation, value}});
  };
  CHECK(with("ambient.istio.io/redirection", "enabled") ==
        "Istio's ztunnel (annotation ambient.istio.io/redirection) takes its traffic");
  CHECK(with("ambient.istio.io/redirection", "disabled").empty());
  CHECK(with("sidecar.istio.io/status", "{}") ==
        "an Istio sidecar (annotation sidecar.istio.io/status) takes its traffic");
  CHECK(with("linkerd.io/proxy-version", "edge-26.1") ==
        "a Linkerd sidecar (annotation linkerd.io/proxy-version) takes its traffic");
}
