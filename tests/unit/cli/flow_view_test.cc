#include "cli/flow_view.h"

#include <doctest/doctest.h>

#include "common/ip.h"

using namespace leat;
using namespace leat::cli;

namespace {

constexpr int64_t kNow = 1'700'000'100'000;

std::string wire(const char* address) { return IpAddress::parse(address)->wire(); }

v1::Flow tunnel() {
  v1::Flow flow;
  flow.set_id(7);
  flow.set_node("node-a");
  flow.set_path(v1::PATH_HBONE);
  flow.set_source_namespace("shop");
  flow.set_source_pod("frontend");
  flow.set_source_address(wire("10.1.0.11"));
  flow.set_source_port(40000);
  flow.set_destination_service("shop/backend");
  flow.set_destination_namespace("shop");
  flow.set_destination_pod("backend-v1-1");
  flow.set_destination_address(wire("10.2.0.21"));
  flow.set_destination_port(8080);
  flow.set_requested_address(wire("10.96.0.5"));
  flow.set_requested_port(80);
  flow.set_security("mTLS");
  flow.set_peer_identity("spiffe://cluster.local/ns/shop/sa/backend");
  flow.set_protocol("tcp");
  flow.set_bytes_sent(62'464);
  flow.set_bytes_received(309'248);
  flow.set_opened_ms(kNow - 8'000);
  flow.set_verdict("open");
  flow.set_attempts(1);
  return flow;
}

v1::Flow of_requests() {
  v1::Flow flow = tunnel();
  flow.set_protocol("http/2");
  flow.set_requests(301);
  flow.set_requests_open(4);
  return flow;
}

v1::Flow untouched() {
  v1::Flow flow;
  flow.set_node("node-a");
  flow.set_path(v1::PATH_UNTOUCHED);
  flow.set_source_namespace("shop");
  flow.set_source_pod("frontend");
  flow.set_destination_address(wire("fd00::7"));
  flow.set_destination_port(443);
  flow.set_security("-");
  flow.set_worker(-1);
  flow.set_verdict("open");
  flow.set_reason("not in the mesh");
  return flow;
}

v1::Flow denied() {
  v1::Flow flow = tunnel();
  flow.set_direction(v1::FLOW_INBOUND);
  flow.set_path(v1::PATH_PROXY);
  flow.clear_source_namespace();
  flow.clear_source_pod();
  flow.set_source_address(wire("10.9.0.4"));
  flow.clear_destination_service();
  flow.set_security("plaintext");
  flow.clear_peer_identity();
  flow.set_bytes_sent(0);
  flow.set_bytes_received(0);
  flow.set_opened_ms(kNow - 90'000);
  flow.set_closed_ms(kNow - 90'000);
  flow.set_verdict("denied");
  flow.set_reason("STRICT, plaintext from 10.9.0.4 (not in the mesh)");
  flow.set_cure("enrol its namespace, or PeerAuthentication PERMISSIVE");
  return flow;
}

}  // namespace

TEST_CASE("a person sees at a glance what happened to a connection, and why") {
  std::vector<v1::Flow> flows = {of_requests(), denied(), untouched()};
  sort_flows(flows);
  CHECK(
      flow_table(flows, false, kNow).render(false) ==
      R"(NODE     SOURCE          DESTINATION                      PATH        SECURITY            PROTO    REQS          SENT     RECEIVED   AGE   STATE
node-a   shop/frontend   [fd00::7]:443                    untouched   -                   -        -             0 B      0 B        -     not in the mesh
node-a   10.9.0.4        shop/backend-v1-1:80             proxy       plaintext           tcp      -             0 B      0 B        90s   denied: STRICT, plaintext from 10.9.0.4 (not in the mesh)
   cure: enrol its namespace, or PeerAuthentication PERMISSIVE
node-a   shop/frontend   shop/backend:80 → backend-v1-1   hbone       mTLS shop/backend   http/2   301, 4 open   61 KiB   302 KiB    8s    open
)");
}

TEST_CASE("the wide table adds addresses, identity, worker and attempts") {
  CHECK(
      flow_table({tunnel()}, true, kNow).render(false) ==
      R"(NODE     SOURCE          DESTINATION                      PATH    SECURITY            PROTO   REQS   SENT     RECEIVED   AGE   STATE   DIRECTION   FROM              ASKED FOR      TO               IDENTITY                                    WORKER   TRIED
node-a   shop/frontend   shop/backend:80 → backend-v1-1   hbone   mTLS shop/backend   tcp     -      61 KiB   302 KiB    8s    open    outbound    10.1.0.11:40000   10.96.0.5:80   10.2.0.21:8080   spiffe://cluster.local/ns/shop/sa/backend   0        1
)");
}

TEST_CASE("json has the raw values under names that stay") {
  CHECK(
      flow_json(tunnel()).dump() ==
      R"({"id":7,"node":"node-a","direction":"outbound","path":"hbone","sourceNamespace":"shop","sourcePod":"frontend","sourceAddress":"10.1.0.11",)"
      R"("sourcePort":40000,"destinationService":"shop/backend","destinationNamespace":"shop","destinationPod":"backend-v1-1",)"
      R"("destinationAddress":"10.2.0.21","destinationPort":8080,"requestedAddress":"10.96.0.5","requestedPort":80,"security":"mTLS",)"
      R"("peerIdentity":"spiffe://cluster.local/ns/shop/sa/backend","protocol":"tcp","requests":0,"requestsOpen":0,"bytesSent":62464,"bytesReceived":309248,)"
      R"("openedMs":1700000092000,"closedMs":0,"worker":0,"attempts":1,"verdict":"open","reason":"","cure":""})");
}

TEST_CASE("a filter looks at both sides of a flow") {
  CHECK(FlowFilter{}.matches(tunnel()));
  CHECK(FlowFilter{.ns = "shop"}.matches(denied()));
  CHECK_FALSE(FlowFilter{.ns = "sho"}.matches(tunnel()));
  CHECK(FlowFilter{.pod = "backend-v1-1"}.matches(tunnel()));
  CHECK(FlowFilter{.pod = "shop/frontend"}.matches(tunnel()));
  CHECK_FALSE(FlowFilter{.pod = "other/frontend"}.matches(tunnel()));
  CHECK(FlowFilter{.closed_after_ms = kNow}.matches(tunnel()));
  CHECK_FALSE(FlowFilter{.closed_after_ms = kNow}.matches(denied()));
  CHECK(FlowFilter{.closed_after_ms = kNow - 100'000}.matches(denied()));
}
