// Connections through one proxy and through two, from an application's socket to another's.
#include <doctest/doctest.h>

#include <netinet/tcp.h>

#include <algorithm>
#include <atomic>
#include <future>

#include "tests/unit/userspace-proxy/flow/cluster.h"
#include "userspace-proxy/confine.h"

namespace leat::proxy::test {
namespace {

// The only closed flow of a node, once there is one.
v1::Flow closed_flow(Node& node) {
  for (int i = 0; i < 200; ++i) {
    const auto closed = node.flows(false, true);
    if (!closed.empty()) {
      CHECK(closed.size() == 1);
      return closed[0];
    }
  }
  FAIL("no flow was closed");
  return {};
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
    cluster.start_both();
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

TEST_CASE("half-closes, a server that speaks first, and resets pass a tunnel as they are") {
  for_both_backends([](ring::BackendKind backend) {
    Cluster cluster(backend);
    std::promise<std::string> heard;
    Server server(kFar.ip, 8080, [&](UniqueFd connection, SocketAddress) {
      send_all(connection, "220 ready");
      heard.set_value(read_all(connection));
      send_all(connection, "bye");
    });
    cluster.start_both();
    SUBCASE("the server's answer follows the client's end") {
      const UniqueFd app = connect_to("127.128.0.3", 8080, kClient.ip);
      CHECK(read_some(app, 9) == "220 ready");
      send_all(app, "request");
      shutdown(app.get(), SHUT_WR);
      CHECK(heard.get_future().get() == "request");
      CHECK(read_all(app) == "bye");
      CHECK(closed_flow(cluster.a).reason().empty());
      CHECK(closed_flow(cluster.b).reason().empty());
    }
    SUBCASE("the client's reset is the server's reset") {
      UniqueFd app = connect_to("127.128.0.3", 8080, kClient.ip);
      CHECK(read_some(app, 9) == "220 ready");
      reset(std::move(app));
      CHECK(heard.get_future().get() == "RESET");
      CHECK(closed_flow(cluster.a).reason() == sentence(Reason::kClientReset));
    }
  });
}

TEST_CASE("the server's reset is the client's reset, through a tunnel and on the same node") {
  for_both_backends([](ring::BackendKind backend) {
    Cluster cluster(backend);
    const auto slam = [](UniqueFd connection, SocketAddress) {
      CHECK(read_some(connection, 1) == "x");
      reset(std::move(connection));
    };
    Server far(kFar.ip, 8080, slam);
    Server near(kNear.ip, 8080, slam);
    cluster.start_both();
    for (const uint32_t alias : {3u, 2u}) {
      if (alias == 2) cluster.a.listen_outbound(kClient, alias, 8080);
      const UniqueFd app = connect_to(destination_alias(alias, false).text(), 8080, kClient.ip);
      send_all(app, "x");
      CHECK(read_all(app) == "RESET");
    }
  });
}

TEST_CASE("32 MiB each way at once arrive unchanged through a tunnel") {
  for_both_backends([](ring::BackendKind backend) {
    Cluster cluster(backend);
    const Server server(kFar.ip, 8080, echo);
    cluster.start_both();
    const std::string sent = pattern(32 << 20);
    const UniqueFd app = connect_to("127.128.0.3", 8080, kClient.ip);
    std::thread writer([&] {
      send_all(app, sent);
      shutdown(app.get(), SHUT_WR);
    });
    const std::string received = read_all(app);
    writer.join();
    CHECK(received.size() == sent.size());
    CHECK((received == sent));
  });
}

TEST_CASE("a refused endpoint is a reset for the client, on every path, and the record says why") {
  for_both_backends([](ring::BackendKind backend) {
    Cluster cluster(backend);
    cluster.start_both();
    SUBCASE("same node") {
      cluster.a.listen_outbound(kClient, 2, 8080);
      CHECK(read_all(connect_to("127.128.0.2", 8080, kClient.ip)) == "RESET");
      CHECK(closed_flow(cluster.a).reason() == sentence(Reason::kRefused));
    }
    SUBCASE("other node") {
      CHECK(read_all(connect_to("127.128.0.3", 8080, kClient.ip)) == "RESET");
      CHECK(closed_flow(cluster.a).reason() == sentence(Reason::kRefusedByPeer));
      CHECK(closed_flow(cluster.b).reason() == sentence(Reason::kRefused));
    }
  });
}

TEST_CASE("a service's connections go round its endpoints, and past one that refuses") {
  Cluster cluster(ring::BackendKind::kIoUring);
  v1::Service* service = cluster.a.add_service("web", "127.1.9.9", 80);
  Node::set_policy(service, v1::LB_ROUND_ROBIN);
  const Pod dead{"dead", "127.1.1.77"};
  cluster.a.add_workload(dead, true);
  for (const Pod& pod : {kNear, dead, kFar}) Node::add_endpoint(service, pod, 8080);
  cluster.a.add_alias(9, "127.1.9.9", "shop/web", "");
  const Server near(kNear.ip, 8080, echo);
  const Server far(kFar.ip, 8080, echo);
  cluster.start_both();
  cluster.a.listen_outbound(kClient, 9, 80);
  for (int i = 0; i < 12; ++i) {
    const UniqueFd app = connect_to("127.128.0.9", 80, kClient.ip);
    send_all(app, "x");
    CHECK(read_some(app, 1) == "x");
  }
  CHECK(near.accepted() >= 4);
  CHECK(far.accepted() >= 4);
  CHECK(near.accepted() + far.accepted() == 12);
}

TEST_CASE("a connection goes where the rule for its client's pod says") {
  Cluster cluster(ring::BackendKind::kIoUring);
  v1::Service* service = cluster.a.add_service("web", "127.1.9.9", 80);
  Node::add_endpoint(service, kNear, 8080);
  v1::ClientRule* rule = service->add_client_rules();
  rule->set_rule("shop/special");
  rule->add_namespaces("shop");
  (*rule->mutable_labels())["app"] = "special";
  *rule->mutable_service()->mutable_ports() = service->ports();
  Node::add_endpoint(rule->mutable_service(), kFar, 8080);
  cluster.a.add_alias(9, "127.1.9.9", "shop/web", "");
  const Server near(kNear.ip, 8080, echo);
  const Server far(kFar.ip, 8080, echo);
  cluster.start_both();
  cluster.a.listen_outbound(kClient, 9, 80);
  const auto connects = [] {
    const UniqueFd app = connect_to("127.128.0.9", 80, kClient.ip);
    send_all(app, "x");
    CHECK(read_some(app, 1) == "x");
  };
  for (int i = 0; i < 3; ++i) connects();
  CHECK(near.accepted() == 3);
  v1::Workload& client = *std::ranges::find(*cluster.a.mesh.mutable_workloads(), kClient.name, &v1::Workload::uid);
  (*client.mutable_labels())["app"] = "special";
  cluster.a.send_mesh();
  for (int i = 0; i < 3; ++i) connects();
  CHECK(near.accepted() == 3);
  CHECK(far.accepted() == 3);
}

TEST_CASE("a client's first bytes arrive once, also where they had left with a CONNECT that was refused") {
  Cluster cluster(ring::BackendKind::kIoUring);
  v1::Service* service = cluster.a.add_service("web", "127.1.9.9", 80);
  Node::set_policy(service, v1::LB_ROUND_ROBIN);
  const Pod dead{"dead", "127.1.2.77", "server"};  // enrolled there, with no application
  cluster.a.add_workload(dead, false);
  cluster.b.add_workload(dead, true);
  for (const Pod& pod : {dead, kFar}) Node::add_endpoint(service, pod, 8080);
  cluster.a.add_alias(9, "127.1.9.9", "shop/web", "");
  const Server far(kFar.ip, 8080, echo);
  cluster.start_both();
  cluster.b.listen_hbone(dead);
  cluster.a.listen_outbound(kClient, 9, 80);
  for (int i = 0; i < 40; ++i) {
    const std::string said = "number " + std::to_string(i);
    const UniqueFd app = connect_to("127.128.0.9", 80, kClient.ip);
    send_all(app, said);
    shutdown(app.get(), SHUT_WR);
    CHECK(read_all(app) == said);
  }
  CHECK(far.accepted() == 40);
}

TEST_CASE("what stands for no destination is reset and recorded") {
  Cluster cluster(ring::BackendKind::kIoUring);
  v1::Service* empty = cluster.a.add_service("empty", "127.1.9.8", 80);
  static_cast<void>(empty);
  cluster.a.add_alias(8, "127.1.9.8", "shop/empty", "");
  cluster.start_both();
  const auto reason_at = [&](uint32_t alias, uint16_t port) {
    cluster.a.listen_outbound(kClient, alias, port);
    CHECK(read_all(connect_to(destination_alias(alias, false).text(), port, kClient.ip)) == "RESET");
    return closed_flow(cluster.a).reason();
  };
  SUBCASE("an id that nobody has") { CHECK(reason_at(4711, 80) == sentence(Reason::kNotAnAlias)); }
  SUBCASE("port 15008 of a pod") { CHECK(reason_at(3, 15008) == sentence(Reason::kReservedPort)); }
  SUBCASE("a port that the service does not have") { CHECK(reason_at(8, 81) == sentence(Reason::kNoSuchPort)); }
  SUBCASE("a service without endpoints") { CHECK(reason_at(8, 80) == sentence(Reason::kNoEndpoint)); }
}

TEST_CASE("an endpoint outside the mesh is dialled plainly from the client's namespace") {
  Cluster cluster(ring::BackendKind::kIoUring);
  const Pod outside{"outside", "127.1.3.1"};
  cluster.a.add_workload(outside, false, /*captured=*/false);
  cluster.a.add_alias(6, outside.ip, "", outside.name);
  const Server server(outside.ip, 8080, echo);
  cluster.start_both();
  cluster.a.listen_outbound(kClient, 6, 8080);
  const UniqueFd app = connect_to("127.128.0.6", 8080, kClient.ip);
  send_all(app, "x");
  CHECK(read_some(app, 1) == "x");
  CHECK(cluster.a.flows(true, false).at(0).security() == "plaintext");
}

TEST_CASE("sameNode mtls makes a tunnel to a pod of the same node") {
  Cluster cluster(ring::BackendKind::kIoUring);
  cluster.a.mesh.mutable_settings()->set_same_node(v1::SAME_NODE_MTLS);
  const Server server(kNear.ip, 8080, echo);
  cluster.start_both();
  cluster.a.listen_hbone(kNear);
  cluster.a.listen_outbound(kClient, 2, 8080);
  const UniqueFd app = connect_to("127.128.0.2", 8080, kClient.ip);
  send_all(app, "x");
  CHECK(read_some(app, 1) == "x");
  CHECK(cluster.a.flows(true, false).size() == 2);
  CHECK(cluster.a.flows(true, false).at(0).security() == "mTLS");
}

TEST_CASE("without an agent that gives sockets the client is reset within the connect timeout: no-broker") {
  Cluster cluster(ring::BackendKind::kIoUring);
  cluster.a.mesh.mutable_settings()->set_connect_timeout_ms(200);
  cluster.start_both();
  cluster.a.with_agent([](FakeAgent& agent) { agent.answers.sockets = false; });
  cluster.a.listen_outbound(kClient, 2, 8080);
  const UniqueFd app = connect_to("127.128.0.2", 8080, kClient.ip);
  CHECK(read_all(app) == "RESET");
  CHECK(closed_flow(cluster.a).reason() == sentence(Reason::kNoBroker));
}

TEST_CASE("a request for sockets that an agent took to its grave is made again to the next one") {
  Cluster cluster(ring::BackendKind::kIoUring);
  const Server server(kNear.ip, 8080, echo);
  cluster.start_both();
  cluster.a.with_agent([](FakeAgent& agent) { agent.answers.sockets = false; });
  cluster.a.listen_outbound(kClient, 2, 8080);
  const UniqueFd app = connect_to("127.128.0.2", 8080, kClient.ip);
  send_all(app, "x");
  CHECK(cluster.a.wait_agent(
      [](FakeAgent& agent) { return std::ranges::any_of(agent.heard, &v1::ToAgent::has_socket_request); }));
  cluster.a.with_agent([](FakeAgent& agent) {
    agent.answers.sockets = true;
    agent.heard.clear();
    agent.disconnect();
  });
  cluster.a.reconnect();
  CHECK(read_some(app, 1) == "x");
  cluster.a.with_agent([](FakeAgent& agent) {
    const auto hello = std::ranges::find_if(agent.heard, &v1::ToAgent::has_hello);
    REQUIRE(hello != agent.heard.end());
    CHECK(hello->hello().lease_epoch() == 1);
    CHECK(hello->hello().model_generation() == 1);
    CHECK(hello->hello().listeners_size() == 1);
    CHECK(agent.hello_fds.size() == 1);
  });
}

TEST_CASE("a tunnel waits for the first certificate, and for no longer than the connect timeout") {
  Cluster cluster(ring::BackendKind::kIoUring);
  cluster.a.mesh.mutable_settings()->set_connect_timeout_ms(300);
  cluster.a.with_agent([](FakeAgent& agent) { agent.answers.certificates = false; });
  cluster.start_both();
  CHECK(read_all(connect_to("127.128.0.3", 8080, kClient.ip)) == "RESET");
  CHECK(closed_flow(cluster.a).reason() == sentence(Reason::kNoCertificate));
}

TEST_CASE("a peer with another identity than the destination's gets no stream") {
  Cluster cluster(ring::BackendKind::kIoUring);
  cluster.b.mesh.mutable_workloads(2)->set_service_account("impostor");
  const Server server(kFar.ip, 8080, echo);
  cluster.start_both();
  CHECK(read_all(connect_to("127.128.0.3", 8080, kClient.ip)) == "RESET");
  CHECK(closed_flow(cluster.a).reason() == sentence(Reason::kUnexpectedIdentity));
  CHECK(server.accepted() == 0);
}

TEST_CASE("plaintext into a STRICT port is reset") {
  for_both_backends([](ring::BackendKind backend) {
    Cluster cluster(backend);
    (*cluster.b.mesh.mutable_workloads(2)->mutable_port_mtls())[9090] = v1::MTLS_STRICT;
    cluster.start_both();
    cluster.b.listen_plaintext(kFar, 9090);
    const UniqueFd app = connect_to(kFar.ip, 9090, "127.1.77.1");
    CHECK(read_all(app) == "RESET");
    const v1::Flow denied = closed_flow(cluster.b);
    CHECK(denied.verdict() == "denied");
    CHECK(denied.reason() == sentence(Reason::kPlaintextDenied));
  });
}

TEST_CASE("400 connections share tunnels of 100 streams, and all of them live") {
  REQUIRE(raise_descriptor_limit());  // a login's is 1,024; applications and both nodes are this process
  Cluster cluster(ring::BackendKind::kIoUring);
  const Server server(kFar.ip, 8080, echo);
  cluster.start_both();
  std::vector<UniqueFd> apps;
  constexpr int kConnections = 400;
  for (int i = 0; i < kConnections; ++i) apps.push_back(connect_to("127.128.0.3", 8080, kClient.ip));
  for (const UniqueFd& app : apps) send_all(app, "ping");
  for (const UniqueFd& app : apps) CHECK(read_some(app, 4) == "ping");
  CHECK(cluster.a.counter("leat_tunnels_open") >= 4);
  CHECK(cluster.a.counter("leat_tunnels_open") <= 8);
  apps.clear();
  const UniqueFd app = connect_to("127.128.0.3", 8080, kClient.ip);
  send_all(app, "more");
  CHECK(read_some(app, 4) == "more");
}

TEST_CASE("a certificate is renewed at half life, and connections go on") {
  Cluster cluster(ring::BackendKind::kIoUring);
  const Server server(kFar.ip, 8080, echo);
  for (Node* node : {&cluster.a, &cluster.b}) {
    node->with_agent([](FakeAgent& agent) { agent.lifetime = 2s; });
  }
  cluster.start_both();
  const UniqueFd old = connect_to("127.128.0.3", 8080, kClient.ip);
  CHECK(cluster.a.wait_agent(
      [](FakeAgent& agent) { return agent.signed_count["spiffe://cluster.local/ns/shop/sa/client"] >= 3; }));
  for (const auto& app : {&old}) {
    send_all(*app, "still");
    CHECK(read_some(*app, 5) == "still");
  }
  const UniqueFd fresh = connect_to("127.128.0.3", 8080, kClient.ip);
  send_all(fresh, "fresh");
  CHECK(read_some(fresh, 5) == "fresh");
}

TEST_CASE("a revoked proxy takes no new connection, says so, and leaves when its last flow has ended") {
  for_both_backends([](ring::BackendKind backend) {
    Cluster cluster(backend);
    const Server server(kFar.ip, 8080, echo);
    cluster.start_both();
    UniqueFd app = connect_to("127.128.0.3", 8080, kClient.ip);
    send_all(app, "x");
    CHECK(read_some(app, 1) == "x");
    cluster.a.with_agent([](FakeAgent& agent) {
      v1::ToProxy revoke;
      revoke.mutable_revoke()->set_lease_epoch(1);
      agent.send(revoke);
    });
    CHECK(cluster.a.wait_agent([](FakeAgent& agent) {
      return std::ranges::any_of(agent.heard,
                                 [](const v1::ToAgent& message) { return message.revoked().lease_epoch() == 1; });
    }));
    send_all(app, "y");
    CHECK(read_some(app, 1) == "y");
    CHECK(cluster.a.flows(true, false).size() == 1);
    app.reset();
    CHECK(cluster.a.wait_left());
  });
}

TEST_CASE("a proxy that was told to end gives back a lease that was granted too late") {
  Cluster cluster(ring::BackendKind::kIoUring);
  cluster.a.reconnect();
  cluster.a.shut_down();
  cluster.a.with_agent([](FakeAgent& agent) {
    v1::ToProxy lease;
    lease.mutable_lease()->set_epoch(7);
    agent.send(lease);
  });
  CHECK(cluster.a.wait_agent([](FakeAgent& agent) {
    return std::ranges::any_of(agent.heard,
                               [](const v1::ToAgent& message) { return message.revoked().lease_epoch() == 7; });
  }));
}

TEST_CASE("a peer that drains is not given new streams: the next connection opens a new tunnel") {
  Cluster cluster(ring::BackendKind::kIoUring);
  const Server server(kFar.ip, 8080, echo);
  cluster.start_both();
  {
    const UniqueFd app = connect_to("127.128.0.3", 8080, kClient.ip);
    send_all(app, "x");
    CHECK(read_some(app, 1) == "x");
    cluster.b.shut_down();
    CHECK(cluster.b.wait_agent(
        [](FakeAgent& agent) { return std::ranges::any_of(agent.heard, &v1::ToAgent::has_revoked); }));
    send_all(app, "y");
    CHECK(read_some(app, 1) == "y");
  }
  CHECK(cluster.b.wait_left());
}

TEST_CASE("a change of the model is acknowledged and in force for the next connection") {
  Cluster cluster(ring::BackendKind::kIoUring);
  const Server server(kNear.ip, 8081, echo);
  cluster.start_both();
  cluster.a.with_agent([](FakeAgent& agent) {
    v1::ToProxy message;
    v1::Delta* delta = message.mutable_delta();
    delta->set_base_generation(1);
    delta->set_generation(50);
    v1::Alias* alias = delta->mutable_change()->add_aliases();
    alias->set_id(44);
    alias->set_address(IpAddress::parse(kNear.ip)->wire());
    alias->set_workload_uid(kNear.name);
    agent.send(message);
  });
  CHECK(cluster.a.wait_agent([](FakeAgent& agent) {
    return std::ranges::any_of(agent.heard,
                               [](const v1::ToAgent& message) { return message.ack().generation() == 50; });
  }));
  cluster.a.listen_outbound(kClient, 44, 8081);
  const UniqueFd app = connect_to("127.128.0.44", 8081, kClient.ip);
  send_all(app, "x");
  CHECK(read_some(app, 1) == "x");
}

TEST_CASE("nonsense from the agent is survived") {
  Cluster cluster(ring::BackendKind::kIoUring);
  const Server server(kNear.ip, 8080, echo);
  cluster.start_both();
  cluster.a.with_agent([](FakeAgent& agent) {
    v1::ToProxy message;
    message.mutable_sockets()->set_workload_uid("nobody");
    agent.send(message);
    message.mutable_listener_add()->mutable_id()->set_workload_uid("no descriptor");
    agent.send(message);
    message.mutable_listener_remove()->mutable_id()->set_workload_uid("nobody");
    agent.send(message);
    message.mutable_source_id()->set_address("abc");
    agent.send(message);
    message.mutable_signed_()->set_request(12345);
    agent.send(message);
    message.mutable_roots()->add_root_der("no certificate");
    agent.send(message);
    message.Clear();
    agent.send(message);
  });
  cluster.a.listen_outbound(kClient, 2, 8080);
  const UniqueFd app = connect_to("127.128.0.2", 8080, kClient.ip);
  send_all(app, "x");
  CHECK(read_some(app, 1) == "x");
}

}  // namespace leat::proxy::test
