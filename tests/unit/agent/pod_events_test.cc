#include "agent/pod_events.h"

#include <doctest/doctest.h>

using namespace leat::agent;

namespace {

Reconciler::PodState pod(const char* enrolment, const char* reason = "label leat.dev/mesh: enabled on namespace shop") {
  Reconciler::PodState state{.enrolment = enrolment, .reason = reason};
  state.pod.workload.set_namespace_("shop");
  state.pod.workload.set_name("frontend");
  state.pod.workload.set_uid("u");
  return state;
}

}  // namespace

TEST_CASE("a pod's turns are told, each with its reason") {
  const auto enrolled = pod_event(pod("enrolled"), "not enrolled", false, true);
  REQUIRE(enrolled);
  CHECK(enrolled->reason == "Enrolled");
  CHECK_FALSE(enrolled->warning);
  CHECK(enrolled->pod == leat::control::Name{"shop", "frontend"});
  CHECK(enrolled->uid == "u");
  CHECK(enrolled->note.find("label leat.dev/mesh: enabled on namespace shop") != std::string::npos);

  const auto released = pod_event(pod("released", "label leat.dev/mesh: disabled on the pod"), "enrolled", false, true);
  REQUIRE(released);
  CHECK(released->reason == "Released");
  CHECK_FALSE(released->warning);

  const auto failed = pod_event(pod("failed", "its cgroup has another program"), "enrolled", false, true);
  REQUIRE(failed);
  CHECK(failed->reason == "CaptureFailed");
  CHECK(failed->warning);
  CHECK(failed->note.find("its cgroup has another program") != std::string::npos);
}

TEST_CASE("what an agent before this one has told, and what did not turn, is not told") {
  CHECK_FALSE(pod_event(pod("enrolled"), "", true, true));
  CHECK(pod_event(pod("enrolled"), "", false, true));
  CHECK(pod_event(pod("enrolled"), "failed", true, true));
  CHECK_FALSE(pod_event(pod("enrolled", "another reason"), "enrolled", false, true));
  CHECK_FALSE(pod_event(pod("released", "another reason"), "released", false, true));
  CHECK_FALSE(pod_event(pod("not enrolled"), "", false, true));
}

TEST_CASE("a pod that has ended was not released by anybody") {
  CHECK_FALSE(pod_event(pod("released", "phase Succeeded"), "enrolled", false, false));
}
