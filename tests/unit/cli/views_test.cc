#include "cli/views.h"

#include <doctest/doctest.h>

#include "common/ip.h"

using namespace leat;
using namespace leat::cli;

namespace {

constexpr int64_t kNow = 1'700'000'000'000;

std::string wire(const char* address) { return IpAddress::parse(address)->wire(); }

void add_pod(v1::ApiReply& reply, const char* name, const char* address, bool enrolled, const char* reason) {
  v1::PodStatus& status = *reply.add_pods();
  v1::Workload& workload = *status.mutable_workload();
  workload.set_uid(std::string("uid-") + name);
  workload.set_namespace_("shop");
  workload.set_name(name);
  workload.set_service_account("default");
  workload.add_addresses(wire(address));
  workload.set_pod_index(enrolled ? 3 : UINT32_MAX);
  workload.set_mtls(v1::MTLS_STRICT);
  (*workload.mutable_port_mtls())[9090] = v1::MTLS_PERMISSIVE;
  (*workload.mutable_port_mtls())[80] = v1::MTLS_DISABLE;
  status.set_enrolment(enrolled ? "enrolled" : "not enrolled");
  status.set_reason(reason);
  status.set_since_ms(kNow - 7'200'000);
  status.set_outbound_flows(enrolled ? 12 : 0);
}

}  // namespace

TEST_CASE("pods are listed by name, with the reason of their enrolment") {
  v1::ApiReply reply;
  add_pod(reply, "old", "10.1.0.2", false, "label leat.dev/mesh: disabled on the pod");
  add_pod(reply, "frontend", "10.1.0.1", true, "label leat.dev/mesh: enabled on namespace shop");
  const View view = pods_view(reply, false, kNow);
  CHECK(view.table.render(false) ==
        R"(NAMESPACE   NAME       ADDRESS    ENROLMENT      SINCE   MTLS                                OUT   IN   WHY
shop        frontend   10.1.0.1   enrolled       2h      strict,80=disable,9090=permissive   12    0    label leat.dev/mesh: enabled on namespace shop
shop        old        10.1.0.2   not enrolled   2h      -                                   0     0    label leat.dev/mesh: disabled on the pod
)");
  CHECK(view.list[0]["name"] == "frontend");
  CHECK(view.list[0]["portMtls"].dump() == R"({"80":"disable","9090":"permissive"})");
  CHECK(pods_view(reply, true, kNow).table.render(false).contains("uid-frontend"));
}

TEST_CASE("a service shows how many of its endpoints are ready, and how many of those are here") {
  v1::ApiReply reply;
  v1::Mesh& mesh = *reply.mutable_mesh();
  v1::Workload& here = *mesh.add_workloads();
  here.set_uid("u1");
  here.set_namespace_("shop");
  here.set_name("backend-1");
  here.set_local(true);
  here.set_captured(true);
  v1::Service& service = *mesh.add_services();
  service.set_namespace_("shop");
  service.set_name("backend");
  service.add_vips(wire("10.96.0.5"));
  service.add_ports()->set_port(80);
  service.add_ports()->set_port(443);
  for (const char* address : {"10.1.0.1", "10.2.0.1", "10.2.0.2"}) service.add_endpoints()->set_address(wire(address));
  service.mutable_endpoints(0)->set_workload_uid("u1");
  service.mutable_endpoints(0)->set_ready(true);
  service.mutable_endpoints(1)->set_ready(true);
  v1::Endpoint& sixth = *service.add_endpoints();  // the pod's other address
  sixth.set_address(wire("fd00:1::1"));
  sixth.set_workload_uid("u1");
  sixth.set_ready(true);
  v1::EndpointPort& port = *service.mutable_endpoints(0)->add_ports();
  port.set_service_port(80);
  port.set_target_port(8080);
  v1::Alias& alias = *mesh.add_aliases();
  alias.set_id(5);
  alias.set_address(wire("10.96.0.5"));
  alias.set_service("shop/backend");
  alias.set_remote_only(true);

  CHECK(services_view(reply, true).table.render(false) ==
        "NAMESPACE   NAME      ADDRESS     PORTS    READY   LOCAL   BALANCING       ENDPOINTS\n"
        "shop        backend   10.96.0.5   80,443   2/3     1       least-request   10.2.0.1,backend-1\n");
  const Json json = services_view(reply, false).list[0];
  CHECK(
      json["endpoints"][0].dump() ==
      R"({"address":"10.1.0.1","pod":"shop/backend-1","node":"","captured":true,"local":true,"ready":true,"targetPorts":{"80":8080}})");
  CHECK(json["aliases"].dump() == R"([{"id":5,"address":"10.96.0.5","remoteOnly":true}])");
}

TEST_CASE("a service says which rule holds for whom, where it is not for all") {
  v1::ApiReply reply;
  v1::Service& service = *reply.mutable_mesh()->add_services();
  service.set_namespace_("shop");
  service.set_name("backend");
  service.add_ports()->set_port(80);
  v1::ClientRule& rule = *service.add_client_rules();
  rule.add_namespaces("team");
  (*rule.mutable_labels())["app"] = "web";
  rule.set_rule("team/some");
  rule.mutable_service()->add_policies()->set_load_balancing(v1::LB_ROUND_ROBIN);
  rule.mutable_service()->add_ports()->set_port(80);
  rule.mutable_service()->mutable_ports(0)->set_policy(1);
  const View view = services_view(reply, false);
  CHECK(view.table.render(false).find("   clients in team with app=web: round-robin, by DestinationRule team/some\n") !=
        std::string::npos);
  const Json& json = view.list[0];
  CHECK(json["ports"][0]["loadBalancing"] == "least-request");
  CHECK(json["clientRules"][0]["rule"] == "team/some");
  CHECK(json["clientRules"][0]["clients"] == "clients in team with app=web");
  CHECK(json["clientRules"][0]["ports"][0]["loadBalancing"] == "round-robin");
}

TEST_CASE("a certificate says when it ends and what went wrong last") {
  v1::ApiReply reply;
  v1::Certificate& certificate = *reply.add_certificates();
  certificate.set_identity("spiffe://cluster.local/ns/shop/sa/cart");
  certificate.set_state("valid");
  certificate.set_not_after_ms(kNow + 31 * 60'000);
  certificate.set_renew_at_ms(kNow - 12 * 60'000);
  certificate.set_last_error("CA answered \"pod not found\"");
  certificate.set_last_error_ms(kNow - 12 * 60'000);
  CHECK(certificates_view(reply, false, kNow).table.render(false) ==
        "IDENTITY                                 STATE   EXPIRES   RENEWED\n"
        "spiffe://cluster.local/ns/shop/sa/cart   valid   in 31m    12m ago\n"
        "   last error, 12m ago: CA answered \"pod not found\"\n");
}

TEST_CASE("a failed check stands above its cure") {
  v1::ApiReply reply;
  v1::CheckItem& good = *reply.add_check();
  good.set_area("kernel");
  good.set_status("ok");
  good.set_text("6.18");
  v1::CheckItem& bad = *reply.add_check();
  bad.set_area("certificates");
  bad.set_status("fail");
  bad.set_text("shop/cart has expired");
  bad.set_cure("restart the CA");
  CHECK(check_view(reply).table.render(false) ==
        "kernel         ok     6.18\n"
        "certificates   fail   shop/cart has expired\n"
        "   cure: restart the CA\n");
}

TEST_CASE("counters are sorted by name and labels, whole numbers without a fraction") {
  v1::ApiReply reply;
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, double>>{{"b", 2.5}, {"a", 1e9}}) {
    v1::Counter& counter = *reply.add_counters();
    counter.set_name(name);
    counter.set_value(value);
    (*counter.mutable_labels())["reason"] = "x";
  }
  const View view = counters_view(reply);
  CHECK(view.table.render(false) == "NAME   LABELS     VALUE\na      reason=x   1000000000\nb      reason=x   2.5\n");
  CHECK(view.list[0]["value"].dump() == "1000000000");
}

TEST_CASE("the table and JSON have the same histogram") {
  v1::ApiReply reply;
  v1::Counter& took = *reply.add_counters();
  took.set_name("took_ms");
  (*took.mutable_labels())["pod"] = "a";
  for (const double bound : {0.5, 5.0}) took.mutable_histogram()->add_bounds(bound);
  for (const uint64_t count : {2, 0, 1}) took.mutable_histogram()->add_counts(count);
  took.mutable_histogram()->set_sum(1200.5);
  const View view = counters_view(reply);
  CHECK(view.table.render(false).contains("3 values, sum 1200.5"));
  CHECK(
      view.list[0].dump() ==
      R"({"name":"took_ms","labels":{"pod":"a"},"count":3,"sum":1200.5,"buckets":[{"le":0.5,"count":2},{"le":5,"count":2}]})");
}
