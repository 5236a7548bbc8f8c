#include "agent/sources/kubernetes/route_status.h"

#include <doctest/doctest.h>

#include "agent/sources/kubernetes/api_json.h"

using leat::sources::ObjectFacts;
using leat::sources::status_patch;
using nlohmann::json;

namespace {

constexpr char kNow[] = "2026-03-01T12:00:00Z", kBefore[] = "2026-02-01T12:00:00Z";

const leat::control::Reader& reader() { return *leat::control::find_reader("HTTPRoute"); }

// A route at two ports of a Service, as the server has it.
json route(const json& status = nullptr) {
  json object = {
      {"metadata",
       {{"name", "split"}, {"namespace", "shop"}, {"uid", "u"}, {"resourceVersion", "7"}, {"generation", 3}}},
      {"spec",
       {{"parentRefs",
         {{{"group", ""}, {"kind", "Service"}, {"name", "backend"}, {"port", 80}},
          {{"group", ""}, {"kind", "Service"}, {"name", "backend"}, {"port", 81}}}}}}};
  if (!status.is_null()) object["status"] = status;
  return object;
}

ObjectFacts facts_of(const json& object) {
  ObjectFacts facts;
  leat::sources::read_facts(reader(), *leat::sources::read_document(object.dump()), true, facts);
  return facts;
}

leat::v1::RouteStatus verdict(const char* parent, bool resolved = true) {
  leat::v1::RouteStatus status;
  status.set_parent(parent);
  auto& accepted = *status.add_conditions();
  accepted.set_type("Accepted");
  accepted.set_holds(true);
  accepted.set_reason("Accepted");
  auto& refs = *status.add_conditions();
  refs.set_type("ResolvedRefs");
  refs.set_holds(resolved);
  refs.set_reason(resolved ? "ResolvedRefs" : "BackendNotFound");
  refs.set_message(resolved ? "" : "there is no Service shop/b");
  return status;
}

json patched(json object, const std::optional<std::string>& patch) {
  REQUIRE(patch);
  return object.patch(json::parse(*patch));
}

const json kForeign = {{"parentRef", {{"name", "gate"}}},
                       {"controllerName", "example.com/gateway"},
                       {"conditions", {{{"type", "Accepted"}, {"status", "True"}, {"observedGeneration", 1}}}}};

}  // namespace

TEST_CASE("each parent gets its entry, with the reference as the spec has it and the generation as a number") {
  const auto one = verdict("Service shop/backend:80"), other = verdict("Service shop/backend:81", false);
  const json after = patched(route(), status_patch(facts_of(route()), {&one, &other}, kNow));
  const json& parents = after["status"]["parents"];
  REQUIRE(parents.size() == 2);
  CHECK(parents[0]["parentRef"] == route()["spec"]["parentRefs"][0]);
  CHECK(parents[0]["controllerName"] == "leat.dev/mesh");
  CHECK(parents[0]["conditions"][0] == json{{"type", "Accepted"},
                                            {"status", "True"},
                                            {"reason", "Accepted"},
                                            {"message", ""},
                                            {"observedGeneration", 3},
                                            {"lastTransitionTime", kNow}});
  CHECK(parents[1]["conditions"][1]["status"] == "False");
  CHECK(parents[1]["conditions"][1]["reason"] == "BackendNotFound");
}

TEST_CASE("nothing is written where the server has all of it") {
  const auto one = verdict("Service shop/backend:80"), other = verdict("Service shop/backend:81");
  const json after = patched(route(), status_patch(facts_of(route()), {&one, &other}, kNow));
  CHECK_FALSE(status_patch(facts_of(after), {&one, &other}, "2026-04-01T12:00:00Z"));
}

TEST_CASE("another controller's entry stays as it is, whatever becomes of those around it") {
  const auto one = verdict("Service shop/backend:80"), other = verdict("Service shop/backend:81");
  json before = route({{"parents", {kForeign}}});
  json after = patched(before, status_patch(facts_of(before), {&one, &other}, kNow));
  REQUIRE(after["status"]["parents"].size() == 3);
  CHECK(after["status"]["parents"][0] == kForeign);
  // One of ours before it goes, one changes.
  std::swap(after["status"]["parents"][0], after["status"]["parents"][1]);
  after["spec"]["parentRefs"].erase(size_t{0});
  const auto worse = verdict("Service shop/backend:81", false);
  const json last = patched(after, status_patch(facts_of(after), {&worse}, kNow));
  REQUIRE(last["status"]["parents"].size() == 2);
  CHECK(last["status"]["parents"][0] == kForeign);
  CHECK(last["status"]["parents"][1]["parentRef"]["port"] == 81);
  CHECK(last["status"]["parents"][1]["conditions"][1]["status"] == "False");
}

TEST_CASE("a condition keeps the time of its last turn until it turns") {
  const auto good = verdict("Service shop/backend:80"), bad = verdict("Service shop/backend:80", false);
  const json before = patched(route(), status_patch(facts_of(route()), {&good}, kBefore));
  const json after = patched(before, status_patch(facts_of(before), {&bad}, kNow));
  const json& conditions = after["status"]["parents"][0]["conditions"];
  CHECK(conditions[0]["lastTransitionTime"] == kBefore);
  CHECK(conditions[1]["lastTransitionTime"] == kNow);
}

TEST_CASE("a new generation is observed, though all else stands") {
  const auto one = verdict("Service shop/backend:80");
  json before = patched(route(), status_patch(facts_of(route()), {&one}, kBefore));
  before["metadata"]["generation"] = 4;
  const json after = patched(before, status_patch(facts_of(before), {&one}, kNow));
  CHECK(after["status"]["parents"][0]["conditions"][0]["observedGeneration"] == 4);
  CHECK(after["status"]["parents"][0]["conditions"][0]["lastTransitionTime"] == kBefore);
}

TEST_CASE("the patch is of one version of the object") {
  const auto one = verdict("Service shop/backend:80");
  json other = route();
  other["metadata"]["resourceVersion"] = "8";
  const json patch = json::parse(*status_patch(facts_of(route()), {&one}, kNow));
  CHECK_THROWS(other.patch(patch));
}

TEST_CASE("a spec that can't be used leaves the generation and the references of the one in force") {
  ObjectFacts facts = facts_of(route());
  json next = route();
  next["metadata"]["generation"] = 4;
  next["metadata"]["resourceVersion"] = "8";
  next["spec"]["parentRefs"].clear();
  leat::sources::read_facts(reader(), *leat::sources::read_document(next.dump()), false, facts);
  CHECK(facts.generation == 3);
  CHECK(facts.refs.size() == 2);
  CHECK(facts.version == "8");
}
