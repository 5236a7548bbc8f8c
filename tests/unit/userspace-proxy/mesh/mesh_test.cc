#include "userspace-proxy/mesh/mesh.h"

#include <doctest/doctest.h>

#include "userspace-proxy/mesh/alias.h"

namespace leat::proxy {
namespace {

std::string wire(const char* text) { return IpAddress::parse(text)->wire(); }

void add_workload(auto* list, const char* uid, const char* address, bool local) {
  v1::Workload* workload = list->Add();
  workload->set_uid(uid);
  workload->set_namespace_("shop");
  workload->set_name(uid);
  workload->set_service_account("default");
  workload->add_addresses(wire(address));
  workload->set_captured(true);
  workload->set_local(local);
}

v1::Endpoint* add_endpoint(v1::Service* service, const char* uid, const char* address, bool ready = true) {
  v1::Endpoint* endpoint = service->add_endpoints();
  endpoint->set_address(wire(address));
  endpoint->set_workload_uid(uid);
  endpoint->set_ready(ready);
  v1::EndpointPort* port = endpoint->add_ports();
  port->set_service_port(80);
  port->set_target_port(8080);
  return endpoint;
}

void add_alias(auto* list, uint32_t id, const char* address, const char* service, const char* uid,
               bool remote_only = false) {
  v1::Alias* alias = list->Add();
  alias->set_id(id);
  alias->set_address(wire(address));
  if (service) alias->set_service(service);
  if (uid) alias->set_workload_uid(uid);
  alias->set_remote_only(remote_only);
}

v1::Mesh small_mesh() {
  v1::Mesh mesh;
  add_workload(mesh.mutable_workloads(), "front", "10.1.0.1", true);
  add_workload(mesh.mutable_workloads(), "local", "10.1.0.2", true);
  add_workload(mesh.mutable_workloads(), "remote", "10.2.0.2", false);
  v1::Service* service = mesh.add_services();
  service->set_namespace_("shop");
  service->set_name("backend");
  service->add_ports()->set_port(80);
  add_endpoint(service, "local", "10.1.0.2");
  add_endpoint(service, "remote", "10.2.0.2");
  add_endpoint(service, "late", "10.2.0.3");
  add_endpoint(service, "sick", "10.2.0.4", /*ready=*/false);
  add_alias(mesh.mutable_aliases(), 1, "10.1.0.1", nullptr, "front");
  add_alias(mesh.mutable_aliases(), 5, "10.96.0.1", "shop/backend", nullptr);
  add_alias(mesh.mutable_aliases(), 6, "10.96.0.1", "shop/backend", nullptr, /*remote_only=*/true);
  add_alias(mesh.mutable_aliases(), 9, "192.0.2.1", nullptr, nullptr);
  return mesh;
}

MeshRef build(const v1::Mesh& mesh) {
  std::vector<std::string> problems;
  MeshRef result = Mesh::build(mesh, &problems);
  CHECK(problems.empty());
  return result;
}

}  // namespace

TEST_CASE("the alias of a VIP leads to its service, with ready backends only and remote ones first") {
  const MeshRef mesh = build(small_mesh());
  const auto to = mesh->destination(destination_alias(5, false));
  REQUIRE(to);
  CHECK(to->address.text() == "10.96.0.1");
  CHECK(!to->workload);
  REQUIRE(to->service);
  CHECK(to->service->key == "shop/backend");
  const Service::Port* port = to->service->find_port(80, false);
  REQUIRE(port);
  REQUIRE(port->backends.size() == 3);
  CHECK(port->remote == 2);
  CHECK(port->backends[2].workload == mesh->workload("local"));
  CHECK(port->backends[2].target.text() == "10.1.0.2:8080");
  CHECK(to->service->find_port(81, false) == nullptr);
}

TEST_CASE("a dual-stack service has the backends of each family apart") {
  v1::Mesh model = small_mesh();
  add_endpoint(model.mutable_services(0), "local", "fd00:1::2");
  const auto to = build(std::move(model))->destination(destination_alias(5, false));
  REQUIRE(to);
  REQUIRE(to->service->find_port(80, true)->backends.size() == 1);
  CHECK(to->service->find_port(80, true)->backends[0].target.text() == "[fd00:1::2]:8080");
  CHECK(to->service->find_port(80, false)->backends.size() == 3);
}

TEST_CASE("a local pod outside the mesh is among those that the kernel leaves to the proxy") {
  v1::Mesh model = small_mesh();
  model.mutable_workloads(1)->set_captured(false);
  const auto to = build(std::move(model))->destination(destination_alias(5, false));
  REQUIRE(to);
  CHECK(to->service->find_port(80, false)->remote == 3);
}

TEST_CASE("a service's second id asks for remote backends only") {
  const auto to = build(small_mesh())->destination(destination_alias(6, false));
  REQUIRE(to);
  CHECK(to->remote_only);
}

TEST_CASE("the alias of a pod leads to the pod; an id for a source alone leads nowhere") {
  const MeshRef mesh = build(small_mesh());
  const auto to = mesh->destination(destination_alias(1, false));
  REQUIRE(to);
  CHECK(to->workload == mesh->workload("front"));
  CHECK(!mesh->destination(destination_alias(9, false)));
  CHECK(!mesh->destination(destination_alias(77, false)));
  CHECK(!mesh->destination(*IpAddress::parse("127.127.0.1")));
}

TEST_CASE("a source is shown by the id of its address, never by a remote-only one") {
  const MeshRef mesh = build(small_mesh());
  CHECK(mesh->alias_of(*IpAddress::parse("10.1.0.1")) == 1u);
  CHECK(mesh->alias_of(*IpAddress::parse("10.96.0.1")) == 5u);
  CHECK(mesh->alias_of(*IpAddress::parse("192.0.2.1")) == 9u);
  CHECK(!mesh->alias_of(*IpAddress::parse("192.0.2.2")));
}

TEST_CASE("a change replaces what it names and shares the rest") {
  const MeshRef before = build(small_mesh());
  v1::MeshChange change;
  add_workload(change.mutable_workloads(), "late", "10.2.0.3", false);
  change.add_removed_workloads("local");
  std::vector<std::string> problems;
  const MeshRef after = Mesh::apply(*before, change, &problems);
  CHECK(problems.empty());
  CHECK(after->workload("front") == before->workload("front"));
  CHECK(!after->workload("local"));
  CHECK(!after->workload_at(*IpAddress::parse("10.1.0.2")));

  const Service::Port* port = after->destination(destination_alias(5, false))->service->find_port(80, false);
  for (const Backend& backend : port->backends) {
    CAPTURE(backend.uid);
    CHECK(static_cast<bool>(backend.workload) == (backend.uid != "local"));
  }
  CHECK(before->workload("local"));
}

TEST_CASE("an address that went to a new pod stays the new pod's when the old one is removed") {
  const MeshRef before = build(small_mesh());
  v1::MeshChange reuse;
  add_workload(reuse.mutable_workloads(), "successor", "10.1.0.2", true);
  std::vector<std::string> problems;
  const MeshRef reused = Mesh::apply(*before, reuse, &problems);
  v1::MeshChange removal;
  removal.add_removed_workloads("local");
  const MeshRef after = Mesh::apply(*reused, removal, &problems);
  CHECK(after->workload_at(*IpAddress::parse("10.1.0.2")) == after->workload("successor"));
}

TEST_CASE("a removed alias is gone, and an alias that moved to another address leaves the old one unknown") {
  const MeshRef before = build(small_mesh());
  v1::MeshChange change;
  change.add_removed_aliases(5);
  add_alias(change.mutable_aliases(), 1, "10.1.0.9", nullptr, "front");
  std::vector<std::string> problems;
  const MeshRef after = Mesh::apply(*before, change, &problems);
  CHECK(!after->destination(destination_alias(5, false)));
  CHECK(!after->alias_of(*IpAddress::parse("10.1.0.1")));
  CHECK(after->alias_of(*IpAddress::parse("10.1.0.9")) == 1u);
}

TEST_CASE("what is malformed is named and left out, the rest stands") {
  v1::Mesh mesh = small_mesh();
  mesh.add_workloads()->set_name("nameless");
  mesh.mutable_services(0)->add_ports()->set_port(70000);
  v1::Alias* alias = mesh.add_aliases();
  alias->set_id(0x3fffff);
  alias->set_address(wire("10.0.0.1"));
  std::vector<std::string> problems;
  const MeshRef built = Mesh::build(mesh, &problems);
  CHECK(problems.size() == 3);
  CHECK(built->workload("front"));
  CHECK(built->destination(destination_alias(5, false))->service->find_port(80, false));
}

TEST_CASE("a port's own mTLS mode wins over the pod's") {
  v1::Mesh mesh = small_mesh();
  mesh.mutable_workloads(0)->set_mtls(v1::MTLS_STRICT);
  (*mesh.mutable_workloads(0)->mutable_port_mtls())[8080] = v1::MTLS_DISABLE;
  const WorkloadRef front = build(mesh)->workload("front");
  CHECK(front->mtls_at(80) == v1::MTLS_STRICT);
  CHECK(front->mtls_at(8080) == v1::MTLS_DISABLE);
}

TEST_CASE("service accounts that need a certificate here are those of this node's captured pods") {
  v1::Mesh mesh = small_mesh();
  mesh.mutable_workloads(1)->set_service_account("backend");
  mesh.mutable_workloads(2)->set_service_account("elsewhere");
  const auto accounts = build(mesh)->local_service_accounts();
  CHECK(accounts == std::set<std::pair<std::string, std::string>>{{"shop", "backend"}, {"shop", "default"}});
}

namespace {

const route::Labels kNoLabels;
const route::Client kAnyClient{.namespace_ = "shop", .labels = kNoLabels};

// backend with subsets v1 (the local pod) and v2 (the remote one), and a route to v2 of all requests.
v1::Mesh split_mesh() {
  v1::Mesh mesh = small_mesh();
  v1::Service* service = mesh.mutable_services(0);
  service->mutable_ports(0)->set_protocol(v1::PROTOCOL_HTTP);
  service->add_subsets()->set_name("v1");
  service->add_subsets()->set_name("v2");
  service->add_policies()->set_load_balancing(v1::LB_ROUND_ROBIN);
  (*service->mutable_subsets(1)->mutable_policies())[80] = 1;
  service->mutable_endpoints(0)->add_subsets(0);
  service->mutable_endpoints(1)->add_subsets(1);
  v1::RouteDestination* destination = service->add_route_tables()->add_routes()->add_destinations();
  destination->set_service("shop/backend");
  destination->set_subset("v2");
  destination->set_weight(1);
  return mesh;
}

}  // namespace

TEST_CASE("a subset's port has the backends of that subset only, and its own algorithm") {
  const MeshRef mesh = build(split_mesh());
  const ServiceRef service = mesh->service("shop/backend");
  REQUIRE(service);
  CHECK(service->find_port(80, false)->backends.size() == 3);
  CHECK(service->find_port(80, false)->protocol == v1::PROTOCOL_HTTP);
  CHECK_FALSE(service->find_port(80, false)->policy);
  const Service::Port* v2 = service->find_port(80, false, "v2");
  REQUIRE(v2);
  REQUIRE(v2->backends.size() == 1);
  CHECK(v2->backends[0].uid == "remote");
  CHECK(v2->backends[0].workload->name == "remote");
  REQUIRE(v2->policy);
  CHECK(v2->policy->algorithm == v1::LB_ROUND_ROBIN);
  CHECK(v2->remote == 1);
  CHECK(service->find_port(80, false, "v3") == nullptr);
}

TEST_CASE("a route's destination resolves to a port, or says what is missing") {
  using Missing = RouteTarget::Missing;
  const MeshRef mesh = build(split_mesh());
  const route::Destination& v2 = mesh->service("shop/backend")->route_tables()[0].routes[0].destinations[0];
  const RouteTarget target = mesh->resolve(v2, 80, false, kAnyClient);
  CHECK(target.missing == Missing::kNothing);
  CHECK(target.service == mesh->service("shop/backend"));
  CHECK(target.port == target.service->find_port(80, false, "v2"));
  CHECK(mesh->resolve(v2, 81, false, kAnyClient).missing == Missing::kPort);
  CHECK(mesh->resolve({.service = "shop/backend", .port = 80}, 9999, false, kAnyClient).missing == Missing::kNothing);
  CHECK(mesh->resolve({.service = "shop/backend", .subset = "v3"}, 80, false, kAnyClient).missing == Missing::kSubset);
  CHECK(mesh->resolve({.service = "shop/gone"}, 80, false, kAnyClient).missing == Missing::kService);
  CHECK(mesh->resolve({.service = ""}, 80, false, kAnyClient).missing == Missing::kService);
}

TEST_CASE("a workload's change relinks the subsets of its services and keeps their routes") {
  const MeshRef before = build(split_mesh());
  v1::MeshChange change;
  add_workload(change.mutable_workloads(), "remote", "10.2.0.2", false);
  change.mutable_workloads(0)->set_name("renamed");
  std::vector<std::string> problems;
  const MeshRef after = Mesh::apply(*before, change, &problems);
  const ServiceRef service = after->service("shop/backend");
  CHECK(service->find_port(80, false, "v2")->backends[0].workload->name == "renamed");
  CHECK(service->routes == before->service("shop/backend")->routes);
  CHECK(before->service("shop/backend")->find_port(80, false, "v2")->backends[0].workload->name == "remote");
}

namespace {

// The same, where clients of `team` have only the remote pod, as the subset v3, and those with app=web a hash.
v1::Mesh ruled_mesh() {
  v1::Mesh mesh = split_mesh();
  v1::Service* service = mesh.mutable_services(0);
  const auto add_rule = [&](const std::string& name) {
    v1::ClientRule* rule = service->add_client_rules();
    rule->add_namespaces("team");
    rule->set_rule(name);
    *rule->mutable_service()->add_ports() = service->ports(0);
    *rule->mutable_service()->add_endpoints() = service->endpoints(1);
    return rule;
  };
  v1::ClientRule* web = add_rule("team/web");
  (*web->mutable_labels())["app"] = "web";
  web->mutable_service()->add_policies()->mutable_outliers()->set_consecutive_5xx(3);
  web->mutable_service()->mutable_ports(0)->set_policy(1);
  v1::ClientRule* all = add_rule("team/all");
  all->mutable_service()->add_subsets()->set_name("v3");
  all->mutable_service()->mutable_endpoints(0)->clear_subsets();
  all->mutable_service()->mutable_endpoints(0)->add_subsets(0);
  return mesh;
}

}  // namespace

TEST_CASE("the first rule that a client is of makes the Service for it, and no other client's") {
  const MeshRef mesh = build(ruled_mesh());
  const ServiceRef service = mesh->service("shop/backend");
  const route::Labels web{{"app", "web"}, {"version", "v1"}}, other{{"app", "other"}};
  CHECK(for_client(nullptr, kAnyClient) == nullptr);
  CHECK(for_client(service, kAnyClient) == service);
  CHECK(for_client(service, {.namespace_ = "shop", .labels = web}) == service);
  const ServiceRef of_web = for_client(service, {.namespace_ = "team", .labels = web});
  const ServiceRef of_team = for_client(service, {.namespace_ = "team", .labels = other});
  CHECK(of_web->rule == "team/web");
  CHECK(of_team->rule == "team/all");
  CHECK(for_client(service, {.namespace_ = "team", .labels = kNoLabels}) == of_team);

  CHECK(of_team->key == "shop/backend");
  CHECK(of_team->routes == service->routes);
  const Service::Port* port = of_web->find_port(80, false);
  REQUIRE(port->backends.size() == 1);
  CHECK(port->backends[0].workload->name == "remote");
  CHECK(port->policy->outliers);
  CHECK(port->id != service->find_port(80, false)->id);
  CHECK(port->id != of_team->find_port(80, false)->id);
  CHECK_FALSE(of_team->find_port(80, false)->policy);
}

TEST_CASE("a route's destination resolves to what the client's rule makes of it") {
  using Missing = RouteTarget::Missing;
  const MeshRef mesh = build(ruled_mesh());
  const route::Client of_team{.namespace_ = "team", .labels = kNoLabels};
  CHECK(mesh->resolve({.service = "shop/backend", .subset = "v2"}, 80, false, kAnyClient).missing == Missing::kNothing);
  CHECK(mesh->resolve({.service = "shop/backend", .subset = "v2"}, 80, false, of_team).missing == Missing::kSubset);
  CHECK(mesh->resolve({.service = "shop/backend", .subset = "v3"}, 80, false, kAnyClient).missing == Missing::kSubset);
  const RouteTarget target = mesh->resolve({.service = "shop/backend", .subset = "v3"}, 80, false, of_team);
  CHECK(target.service->rule == "team/all");
  CHECK(target.port == target.service->find_port(80, false, "v3"));
}

TEST_CASE("what a rule makes of a Service sees its workloads change, and keeps what is known of its endpoints") {
  const MeshRef before = build(ruled_mesh());
  const route::Labels web{{"app", "web"}};
  const auto port_in = [&](const MeshRef& mesh) {
    return for_client(mesh->service("shop/backend"), {.namespace_ = "team", .labels = web})->find_port(80, false);
  };
  v1::MeshChange renamed;
  add_workload(renamed.mutable_workloads(), "remote", "10.2.0.2", false);
  renamed.mutable_workloads(0)->set_name("renamed");
  std::vector<std::string> problems;
  const MeshRef after = Mesh::apply(*before, renamed, &problems);
  CHECK(port_in(after)->backends[0].workload->name == "renamed");
  CHECK(port_in(before)->backends[0].workload->name == "remote");

  v1::MeshChange again;
  *again.add_services() = ruled_mesh().services(0);
  const MeshRef last = Mesh::apply(*after, again, &problems);
  CHECK(problems.empty());
  CHECK(port_in(last)->live == port_in(before)->live);
  CHECK(port_in(last)->backends[0].health == port_in(before)->backends[0].health);
}

TEST_CASE("labels are kept of local workloads only: no other asks for a route here") {
  v1::Mesh mesh = small_mesh();
  for (v1::Workload& workload : *mesh.mutable_workloads()) (*workload.mutable_labels())["app"] = workload.name();
  const MeshRef built = build(mesh);
  CHECK(built->workload("front")->labels.at("app") == "front");
  CHECK(built->workload("remote")->labels.empty());
}

}  // namespace leat::proxy
