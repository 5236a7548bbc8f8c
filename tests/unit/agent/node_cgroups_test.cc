#include "agent/node_cgroups.h"

#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "temporary_folder.h"

using leat::agent::find_node_cgroups;
using leat::agent::TemporaryFolder;

namespace {

void make(const TemporaryFolder& folder, const std::string& path) {
  std::filesystem::create_directories(folder.path + "/" + path);
}

void make_root(const TemporaryFolder& folder, const std::string& path) {
  make(folder, path);
  std::ofstream(folder.path + "/" + path + "/cgroup.controllers") << "\n";
}

}  // namespace

TEST_CASE("a node of version 2 with systemd's names") {
  TemporaryFolder folder;
  make_root(folder, ".");
  make(folder, "kubepods.slice");
  make(folder, "system.slice/k3s-agent.service");
  const auto found = find_node_cgroups(folder.path);
  REQUIRE(found);
  CHECK(found->pods == folder.path + "/kubepods.slice");
  CHECK(found->kubelet == folder.path + "/system.slice/k3s-agent.service");
}

TEST_CASE("a hybrid node, with a kubelet in a place that nobody knows") {
  TemporaryFolder folder;
  make(folder, "memory/kubepods");
  make_root(folder, "unified");
  make(folder, "unified/kubepods");
  const auto found = find_node_cgroups(folder.path);
  REQUIRE(found);
  CHECK(found->pods == folder.path + "/unified/kubepods");
  CHECK(found->kubelet.empty());
}

TEST_CASE("what is missing is named") {
  TemporaryFolder folder;
  make(folder, "memory/kubepods");
  CHECK(find_node_cgroups(folder.path).error().message.find("no cgroup2 hierarchy is mounted") != std::string::npos);
  make_root(folder, ".");
  CHECK(find_node_cgroups(folder.path).error().message.find("has none of kubepods.slice") != std::string::npos);
}
