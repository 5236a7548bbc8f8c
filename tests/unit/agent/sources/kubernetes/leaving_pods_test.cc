#include "agent/sources/kubernetes/leaving_pods.h"

#include <doctest/doctest.h>

#include "agent/sources/kubernetes/limits.h"
#include "control/enrolment.h"

using namespace leat::control;
using namespace leat::sources;
using namespace std::chrono_literals;

namespace {

const LeavingPods::Time kStart{1'000'000s};
const Name kPod{"shop", "web"};

struct Cluster {
  ObjectSet objects;
  LeavingPods leaving;

  explicit Cluster() {
    enrol(true);
    put("uid-1");
  }

  void enrol(bool enabled) {
    Namespace space;
    space.meta.name = {"", "shop"};
    if (enabled) space.meta.labels[kMeshLabel] = "enabled";
    objects.put(space);
  }

  void put(const std::string& uid, bool terminating = false) {
    Pod pod;
    pod.meta.name = kPod;
    pod.meta.uid = uid;
    pod.meta.terminating = terminating;
    pod.phase = "Running";
    pod.leaving = leaving.contains(pod);
    objects.put(pod);
  }

  size_t look(LeavingPods::Time now) { return take(leaving.look({kPod}, objects, now)); }
  size_t let_go(LeavingPods::Time now) { return take(leaving.let_go(objects, now)); }
  bool leaves() { return objects.find<Pod>(kPod)->leaving; }

 private:
  size_t take(std::vector<Pod> pods) {
    for (const Pod& pod : pods) objects.put(pod);
    return pods.size();
  }
};

}  // namespace

TEST_CASE("a pod that is asked out leaves once the others were told, and a moment later") {
  Cluster cluster;
  CHECK(cluster.look(kStart) == 0);
  cluster.enrol(false);
  CHECK(cluster.look(kStart) == 1);
  CHECK(cluster.leaves());
  CHECK(cluster.look(kStart + 1ms) == 0);      // it is known
  cluster.leaving.told({kPod}, kStart + 2ms);  // what the server has is of before
  CHECK(cluster.let_go(kStart + limits::kLeave + 2ms) == 0);
  const auto told = kStart + limits::kLeave + 1s;
  cluster.leaving.told({}, told);
  cluster.leaving.told({}, told + 1s);  // and again: it counts from the first
  CHECK(cluster.let_go(told + limits::kLeave - 1ms) == 0);
  CHECK(cluster.leaves());
  CHECK(cluster.let_go(told + limits::kLeave) == 1);
  CHECK_FALSE(cluster.leaves());
  CHECK(cluster.leaving.empty());
}

TEST_CASE("it does not wait for ever for a server that is not told") {
  Cluster cluster;
  cluster.enrol(false);
  cluster.look(kStart);
  CHECK(cluster.let_go(kStart + limits::kLongestLeave) == 1);
}

TEST_CASE("one that is asked for again stays") {
  Cluster cluster;
  cluster.enrol(false);
  cluster.look(kStart);
  cluster.enrol(true);
  CHECK(cluster.look(kStart + 1ms) == 1);
  CHECK_FALSE(cluster.leaves());
  CHECK(cluster.leaving.empty());
}

TEST_CASE("an event of it says nothing new; another pod of its name does not leave") {
  Cluster cluster;
  cluster.enrol(false);
  cluster.look(kStart);
  cluster.put("uid-1");
  CHECK(cluster.leaves());
  cluster.put("uid-2");
  CHECK_FALSE(cluster.leaves());
  cluster.leaving.told({}, kStart);
  cluster.let_go(kStart + limits::kLeave);
  CHECK_FALSE(cluster.leaves());
}

TEST_CASE("where Leat leaves the node all leave, whatever their labels say") {
  Cluster cluster;
  cluster.leaving.leave_all();
  CHECK(cluster.look(kStart) == 1);
  CHECK(cluster.leaves());
  CHECK(cluster.look(kStart + 1ms) == 0);
}

TEST_CASE("one that ends goes by itself, and one that was never told of is not held") {
  Cluster cluster;
  cluster.enrol(false);
  cluster.put("uid-1", /*terminating=*/true);
  CHECK(cluster.look(kStart) == 0);
  cluster.put("uid-1");
  CHECK(cluster.leaving.look({}, cluster.objects, kStart).empty());
}
