#include "cli/preflight.h"

#include <string>

#include <doctest/doctest.h>

namespace leat::cli {
namespace {

std::string node(const std::string& name, const std::string& kernel, const std::string& kubelet,
                 const std::string& ready = "True", const std::string& system = "linux") {
  return R"({"metadata": {"name": ")" + name + R"("}, "status": {"conditions": [{"type": "Ready", "status": ")" +
         ready + R"("}], "nodeInfo": {"kernelVersion": ")" + kernel + R"(", "kubeletVersion": ")" + kubelet +
         R"(", "operatingSystem": ")" + system +
         R"(", "containerRuntimeVersion": "containerd://2.1.0", "architecture": "amd64"}}})";
}

std::string list(const std::string& items) { return R"({"items": [)" + items + "]}"; }

v1::CheckItem only(const Result<std::vector<v1::CheckItem>>& rows) {
  REQUIRE(rows);
  REQUIRE(rows->size() == 1);
  return rows->front();
}

}  // namespace

TEST_CASE("a node that is fit is told with its versions") {
  const auto row = only(check_nodes(list(node("one", "6.1.0-18-amd64", "v1.32.1+k3s1"))));
  CHECK(row.status() == "ok");
  CHECK(row.text() == "one: kernel 6.1.0-18-amd64, kubelet v1.32.1+k3s1, containerd://2.1.0, amd64");
}

TEST_CASE("a kernel or a kubelet that is too old fails, and what is the least is told") {
  CHECK(only(check_nodes(list(node("one", "5.15.0", "v1.32.0")))).status() == "ok");
  const auto kernel = only(check_nodes(list(node("one", "5.14.21-150500", "v1.32.0"))));
  CHECK(kernel.status() == "fail");
  CHECK(kernel.cure() == "its kernel is too old: 5.15 is the least");
  const auto kubelet = only(check_nodes(list(node("one", "6.1.0", "v1.31.9"))));
  CHECK(kubelet.status() == "fail");
  CHECK(kubelet.cure() == "its kubelet is too old: 1.32 is the least");
  CHECK(only(check_nodes(list(node("one", "unknown", "v1.32.0")))).status() == "fail");
}

TEST_CASE("a node that is not ready, or not of Linux, is a warning") {
  CHECK(only(check_nodes(list(node("one", "6.1.0", "v1.33.0", "Unknown")))).status() == "warn");
  CHECK(only(check_nodes(list(node("one", "10.0.20348", "v1.33.0", "True", "windows")))).status() == "warn");
}

TEST_CASE("a cluster without nodes fails, and what is no list is an error") {
  CHECK(only(check_nodes(list(""))).status() == "fail");
  CHECK(!check_nodes("error: You must be logged in"));
  CHECK(!check_nodes(R"({"items": 1})"));
  CHECK(only(check_nodes(list("7"))).status() == "warn");
}

TEST_CASE("other meshes are named, with what to mind") {
  const auto set = [](const std::string& name) {
    return R"({"metadata": {"name": ")" + name + R"(", "namespace": "kube-system"}})";
  };
  CHECK(only(check_neighbours(list(set("kube-proxy")))).status() == "ok");
  const auto row = only(check_neighbours(list(set("kube-proxy") + "," + set("cilium"))));
  CHECK(row.status() == "warn");
  CHECK(row.text() == "Cilium runs here: DaemonSet kube-system/cilium");
  CHECK(row.cure().contains("socketLB.hostNamespaceOnly"));
}

}  // namespace leat::cli
