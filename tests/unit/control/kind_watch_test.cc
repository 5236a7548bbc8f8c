// Of which changes somebody hears who watches one kind.
#include "control/kind_watch.h"

#include <doctest/doctest.h>

namespace leat::control {
namespace {

template <typename Kind>
Kind named(const std::string& name) {
  Kind object;
  object.meta.name = {"shop", name};
  return object;
}

TEST_CASE("a change of another kind is none, and one of the kind is one change, once") {
  ObjectSet objects;
  KindWatch entries(ServiceEntry::kKind);
  CHECK(entries.changed(objects));  // nobody has looked yet
  CHECK_FALSE(entries.changed(objects));
  objects.put(named<Pod>("a"));
  objects.put(named<HostAnswer>("b"));
  CHECK_FALSE(entries.changed(objects));
  objects.put(named<Pod>("c"));
  objects.put(named<ServiceEntry>("d"));
  objects.put(named<Pod>("e"));
  CHECK(entries.changed(objects));
  CHECK_FALSE(entries.changed(objects));
  objects.remove({ServiceEntry::kKind, {"shop", "d"}});
  CHECK(entries.changed(objects));
}

TEST_CASE("more changes than the set remembers count as one of every kind") {
  ObjectSet objects;
  KindWatch entries(ServiceEntry::kKind);
  CHECK(entries.changed(objects));
  for (size_t i = 0; i <= ObjectSet::kRememberedChanges; ++i) objects.put(named<Pod>(std::to_string(i)));
  CHECK(entries.changed(objects));
}

}  // namespace
}  // namespace leat::control
