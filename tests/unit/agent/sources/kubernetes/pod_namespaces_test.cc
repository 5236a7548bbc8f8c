#include "agent/sources/kubernetes/pod_namespaces.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/agent/temporary_folder.h"

using leat::IpAddress;
using leat::control::ObjectSet;
using leat::control::Pod;
using leat::sources::PodNamespaces;

namespace {

// A folder of entries whose addresses the test says.
struct Host {
  leat::agent::TemporaryFolder folder;
  std::map<std::string, std::vector<IpAddress>> addresses;
  ObjectSet objects;
  PodNamespaces namespaces{
      folder.path, [this](const std::string& path) { return addresses[std::filesystem::path(path).filename()]; }};

  void add(const std::string& name, std::vector<const char*> all) {
    std::ofstream(folder.path + "/" + name) << name;
    addresses[name].clear();
    for (const char* address : all) addresses[name].push_back(*IpAddress::parse(address));
  }
  std::string find(const char* name, const char* address, const char* second = nullptr) {
    Pod pod{.meta = {.name = {"shop", name}, .uid = std::string("uid-") + name}};
    pod.addresses.push_back(*IpAddress::parse(address));
    if (second != nullptr) pod.addresses.push_back(*IpAddress::parse(second));
    objects.put(pod);
    const std::string path = namespaces.find(pod, objects);
    return path.empty() ? "" : std::filesystem::path(path).filename().string();
  }
};

}  // namespace

TEST_CASE("a pod's namespace is the one that has all its addresses") {
  Host host;
  host.add("cni-1", {"10.0.0.1"});
  host.add("cni-2", {"10.0.0.2", "fd00::2"});
  CHECK(host.find("b", "10.0.0.2", "fd00::2") == "cni-2");
  CHECK(host.find("a", "10.0.0.1", "fd00::1").empty());
  CHECK(host.find("a", "10.0.0.1") == "cni-1");
}

TEST_CASE("a pod that gives itself a neighbour's address afterwards gains nothing") {
  Host host;
  host.add("victim", {"10.0.0.1"});
  host.add("thief", {"10.0.0.2"});
  CHECK(host.find("v", "10.0.0.1") == "victim");
  CHECK(host.find("t", "10.0.0.2") == "thief");
  host.add("thief", {"10.0.0.2", "10.0.0.1"});
  CHECK(host.find("v", "10.0.0.1") == "victim");
}

TEST_CASE("where it is not clear whose an address is, nobody gets it, until the other one is known") {
  Host host;
  host.add("a", {"10.0.0.1"});
  host.add("b", {"10.0.0.2", "10.0.0.1"});
  CHECK(host.find("a", "10.0.0.1").empty());
  CHECK(host.find("b", "10.0.0.2") == "b");
  CHECK(host.find("a", "10.0.0.1") == "a");
}

TEST_CASE("a namespace is free again when its pod is gone") {
  Host host;
  host.add("a", {"10.0.0.1"});
  CHECK(host.find("old", "10.0.0.1") == "a");
  CHECK(host.find("new", "10.0.0.1").empty());
  host.objects.remove({Pod::kKind, {"shop", "old"}});
  CHECK(host.find("new", "10.0.0.1") == "a");
}
