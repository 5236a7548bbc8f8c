// Connections through one proxy and through two, from an application's socket to another's.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <random>

#include "tests/unit/userspace-proxy/flow/test_node.h"

namespace leat::proxy::test {
namespace {

struct CaFolder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("leat-flow-test-" + std::to_string(getpid()) + "-" + std::to_string(std::random_device{}()));
  ~CaFolder() { std::filesystem::remove_all(path); }
};

const Pod kClient{"client", "127.1.1.1", "client"};
const Pod kNear{"near", "127.1.1.2", "server"};
const Pod kFar{"far", "127.1.2.1", "server"};

struct Cluster {
  CaFolder folder;
  ca::CertificateAuthority ca = *ca::CertificateAuthority::open(folder.path, "cluster.local");
  Node a;
  Node b;

  explicit Cluster(ring::BackendKind backend) : a(ca, backend, 2), b(ca, backend, 2) {
    for (Node* node : {&a, &b}) {
      node->add_workload(kClient, node == &a);
      node->add_workload(kNear, node == &a);
      node->add_workload(kFar, node == &b);
      for (const auto& [id, pod] : {std::pair{1u, kClient}, {2u, kNear}, {3u, kFar}}) node->add_alias(id, pod.ip, "", pod.name);
    }
  }
};

void for_both_backends(const std::function<void(ring::BackendKind)>& test) {
  for (const auto backend : {ring::BackendKind::kIoUring, ring::BackendKind::kEpoll}) {
    CAPTURE(static_cast<int>(backend));
    test(backend);
  }
}

}  // namespace

TEST_CASE("a connection to a pod of the same node reaches the application through the proxy") {
  for_both_backends([](ring::BackendKind backend) {
    Cluster cluster(backend);
    const Server server(kNear.ip, 8080, echo);
    cluster.a.start();
    cluster.a.listen_outbound(kClient, 2, 8080);
    const UniqueFd app = connect_to("127.128.0.2", 8080, kClient.ip);
    send_all(app, "hello");
    CHECK(read_some(app, 5) == "hello");
    const auto open = cluster.a.flows(true, false);
    REQUIRE(open.size() == 1);
    CHECK(open[0].source_pod() == "client");
    CHECK(open[0].destination_pod() == "near");
    CHECK(open[0].security() == "same node");
    CHECK(open[0].bytes_sent() == 5);
    shutdown(app.get(), SHUT_WR);
    CHECK(read_all(app).empty());
  });
}

TEST_CASE("a connection to a pod of another node goes through a tunnel and shows the application the client's alias") {
  for_both_backends([](ring::BackendKind backend) {
    Cluster cluster(backend);
    std::promise<SocketAddress> seen;
    const Server server(kFar.ip, 8080, [&](UniqueFd connection, SocketAddress peer) {
      seen.set_value(peer);
      echo(std::move(connection), peer);
    });
    cluster.a.start();
    cluster.b.start();
    cluster.b.listen_hbone(kFar);
    cluster.a.listen_outbound(kClient, 3, 8080);
    const UniqueFd app = connect_to("127.128.0.3", 8080, kClient.ip);
    send_all(app, "over there");
    CHECK(read_some(app, 10) == "over there");
    CHECK(seen.get_future().get().ip.text() == "127.192.0.1");

    const auto outbound = cluster.a.flows(true, false);
    REQUIRE(outbound.size() == 1);
    CHECK(outbound[0].path() == v1::PATH_HBONE);
    CHECK(outbound[0].peer_identity() == "spiffe://cluster.local/ns/shop/sa/server");
    const auto inbound = cluster.b.flows(true, false);
    REQUIRE(inbound.size() == 1);
    CHECK(inbound[0].source_pod() == "client");
    CHECK(inbound[0].peer_identity() == "spiffe://cluster.local/ns/shop/sa/client");
    CHECK(inbound[0].bytes_sent() == 10);
    shutdown(app.get(), SHUT_WR);
    CHECK(read_all(app).empty());
  });
}

}  // namespace leat::proxy::test
