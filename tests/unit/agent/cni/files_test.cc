#include <doctest/doctest.h>

#include <chrono>
#include <fstream>

#include "agent/cni/enrolled_file.h"
#include "agent/cni/late_pods.h"
#include "common/cni_message.h"
#include "tests/unit/agent/temporary_folder.h"

using namespace leat::agent;
namespace control = leat::control;
using namespace std::chrono_literals;

namespace {

const auto kNow = EnrolledFile::Time() + 1'800'000'000s;

control::ObjectSet with_namespaces(const std::vector<std::pair<std::string, std::string>>& labelled) {
  control::ObjectSet objects;
  for (const auto& [name, label] : labelled) {
    control::Namespace space;
    space.meta.name = {"", name};
    if (!label.empty()) space.meta.labels["leat.dev/mesh"] = label;
    objects.put(space);
  }
  return objects;
}

control::Pod pod(const std::string& name, const std::string& created) {
  control::Pod made;
  made.meta.name = {"shop", name};
  made.meta.created = created;
  return made;
}

}  // namespace

TEST_CASE("the file is there from the first time on, and says since when a namespace is enrolled") {
  TemporaryFolder folder;
  const auto state = StateFolder::open(folder.path, [] {});
  REQUIRE(state);
  EnrolledFile file = EnrolledFile::open(*state);
  CHECK_FALSE(file.is_written());
  REQUIRE(file.update(*state, with_namespaces({{"default", ""}}), kNow));
  CHECK(file.is_written());
  CHECK(state->read(leat::cni::kEnrolledFile)->has_value());  // "none is enrolled" must be said, too
  REQUIRE(file.update(*state, with_namespaces({{"shop", "enabled"}, {"off", "disabled"}}), kNow));
  REQUIRE(file.update(*state, with_namespaces({{"shop", "enabled"}, {"pay", "enabled"}}), kNow + 1h));
  const EnrolledFile again = EnrolledFile::open(*state);
  CHECK(again.namespaces() ==
        leat::cni::EnrolledNamespaces{{"shop", "2027-01-15T08:00:00Z"}, {"pay", "2027-01-15T09:00:00Z"}});
}

TEST_CASE("a damaged file is written anew") {
  TemporaryFolder folder;
  const auto state = StateFolder::open(folder.path, [] {});
  REQUIRE(state->write(leat::cni::kEnrolledFile, "{\"version\":1,"));
  EnrolledFile file = EnrolledFile::open(*state);
  CHECK_FALSE(file.is_written());
  REQUIRE(file.update(*state, with_namespaces({}), kNow));
  CHECK(leat::cni::load_enrolled_namespaces(**state->read(leat::cni::kEnrolledFile)));
}

TEST_CASE("late is a pod that is younger than its namespace's label and was not held back; it is told of once") {
  const leat::cni::EnrolledNamespaces enrolled{{"shop", "2026-01-01T00:00:00Z"}};
  const control::Pod old = pod("old", "2025-12-31T23:59:59Z"), fresh = pod("fresh", "2026-01-02T00:00:00Z"),
                     held = pod("held", "2026-01-02T00:00:00Z"), undated = pod("undated", "");
  const std::vector<LatePods::Captured> all{
      {&old, "old", false}, {&fresh, "fresh", false}, {&held, "held", true}, {&undated, "undated", false}};
  LatePods late;
  const LatePods::Found found = late.look(all, enrolled);
  CHECK(found.changed);
  CHECK(late.count() == 1);
  REQUIRE(found.events.size() == 1);
  CHECK(found.events[0].pod == control::Name{"shop", "fresh"});
  CHECK(found.events[0].uid == "fresh");
  CHECK(found.events[0].reason == "CapturedLate");
  CHECK(late.look(all, enrolled).events.empty());
  CHECK(late.count() == 1);

  LatePods next;  // of an agent that was restarted
  next.load(late.save());
  const LatePods::Found again = next.look(all, enrolled);
  CHECK_FALSE(again.changed);
  CHECK(again.events.empty());
  CHECK(next.count() == 0);
  CHECK(next.look({}, enrolled).changed);  // gone: forgotten
  CHECK(next.save().empty());
}
