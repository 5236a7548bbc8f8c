#include "control/delta.h"

#include <doctest/doctest.h>

#include <random>
#include <set>

using namespace leat;

namespace {

// A sorted model with a random part of a small universe of keys, so that two of them share, change and lack entries.
v1::Mesh random_mesh(std::mt19937& random) {
  v1::Mesh mesh;
  mesh.mutable_settings()->set_connect_timeout_ms(random() % 2);
  for (char name = 'a'; name <= 'p'; ++name) {
    if (random() % 2 == 0) continue;
    v1::Workload& workload = *mesh.add_workloads();
    workload.set_uid(std::string(1, name));
    for (int i = 0; i < 3; ++i)
      (*workload.mutable_labels())[std::to_string(random() % 3)] = std::to_string(random() % 2);
    (*workload.mutable_port_mtls())[random() % 3] = v1::MTLS_STRICT;
  }
  std::set<std::pair<std::string, std::string>> names;
  for (const char* ns : {"a", "a-b", "b"}) {
    for (const char* name : {"x", "y-z", "z"}) {
      if (random() % 2 == 0) names.emplace(ns, name);
    }
  }
  for (const auto& [ns, name] : names) {
    v1::Service& service = *mesh.add_services();
    service.set_namespace_(ns);
    service.set_name(name);
    service.set_headless(random() % 2);
  }
  for (uint32_t id = 0; id < 20; ++id) {
    if (random() % 2 == 0) continue;
    v1::Alias& alias = *mesh.add_aliases();
    alias.set_id(id);
    if (random() % 3 == 0) alias.set_service("a/x");
  }
  return mesh;
}

std::string text(const v1::Mesh& mesh) { return mesh.DebugString(); }

}  // namespace

TEST_CASE("applying the difference of two models to the first gives the second") {
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 500; ++round) {
    v1::Mesh before = random_mesh(random);
    const v1::Mesh after = random_mesh(random);
    control::apply(before, control::diff(before, after));
    REQUIRE(text(before) == text(after));
  }
}

TEST_CASE("equal models differ in nothing, whatever the order in which their maps were filled") {
  v1::Mesh left;
  v1::Mesh right;
  for (int i = 0; i < 100; ++i)
    (*(left.workloads().empty() ? left.add_workloads() : left.mutable_workloads(0))
          ->mutable_labels())[std::to_string(i)] = "x";
  for (int i = 99; i >= 0; --i)
    (*(right.workloads().empty() ? right.add_workloads() : right.mutable_workloads(0))
          ->mutable_labels())[std::to_string(i)] = "x";
  CHECK(control::is_empty(control::diff(left, right)));
}

TEST_CASE("a change holds only what changed") {
  std::mt19937 random(7);
  const v1::Mesh before = random_mesh(random);
  v1::Mesh after = before;
  after.mutable_services(1)->set_headless(!after.services(1).headless());
  const v1::MeshChange change = control::diff(before, after);
  CHECK(change.services_size() == 1);
  v1::MeshChange rest = change;
  rest.clear_services();
  CHECK(control::is_empty(rest));
}

TEST_CASE("settings that become their default are still a change") {
  v1::Mesh before;
  before.mutable_settings()->set_connect_timeout_ms(1);
  v1::Mesh after;
  after.mutable_settings();
  const v1::MeshChange change = control::diff(before, after);
  CHECK_FALSE(control::is_empty(change));
  control::apply(before, change);
  CHECK(before.settings().connect_timeout_ms() == 0);
}
