// golden/NAME.yaml, compiled for node-a, is golden/NAME.txt to the letter. LEAT_UPDATE_GOLDEN=1 writes the .txt files
// anew: read the diff.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/compile.h"
#include "control/parse.h"

namespace leat::control {
namespace {

namespace fs = std::filesystem;

std::string address_text(const std::string& wire) { return IpAddress::from_wire(wire)->text(); }

std::string index_text(uint32_t index) { return index == PodSlots::kNone ? "-" : std::to_string(index); }

std::string mode_text(v1::MtlsMode mode) { return v1::MtlsMode_Name(mode).substr(5); }

std::string policy_text(uint32_t index) { return index == 0 ? "" : fmt::format(" policy {}", index); }

template <typename Ports>
std::string modes_text(v1::MtlsMode mode, const Ports& ports) {
  std::string text = mode_text(mode);
  for (const auto& [port, port_mode] : std::map<uint32_t, v1::MtlsMode>(ports.begin(), ports.end()))
    text += fmt::format(" {}={}", port, mode_text(port_mode));
  return text;
}

template <typename List, typename ToText>
std::string joined(const List& list, ToText to_text) {
  std::vector<std::string> texts;
  for (const auto& item : list) texts.push_back(to_text(item));
  return fmt::format("[{}]", fmt::join(texts, " "));
}

// What a route does besides sending requests on.
std::string actions_text(v1::HttpRoute route) {
  route.clear_name();
  route.clear_matches();
  route.clear_destinations();
  route.clear_origin();
  return route.ShortDebugString();
}

void render_table(const v1::RouteTable& table, std::string& out) {
  out += fmt::format("  routes for {}\n",
                     table.visible_to().empty() ? "all" : fmt::format("{}", fmt::join(table.visible_to(), " ")));
  for (const v1::HttpRoute& route : table.routes()) {
    const v1::Origin& origin = route.origin();
    out += fmt::format("    route '{}' of {} {}/{} {}:{}\n", route.name(), origin.kind(), origin.namespace_(),
                       origin.name(), origin.file(), origin.line());
    for (const v1::RouteMatch& match : route.matches()) out += fmt::format("      if {}\n", match.ShortDebugString());
    if (const std::string actions = actions_text(route); !actions.empty()) out += fmt::format("      {}\n", actions);
    for (const v1::RouteDestination& to : route.destinations()) {
      out += fmt::format("      {} to {}:{} {} as '{}'{}\n", to.weight(), to.service(), to.port(), to.subset(),
                         to.host(), to.has_headers() ? " with " + to.headers().ShortDebugString() : "");
    }
  }
  for (const v1::ConnectionRoute& route : table.connection_routes()) {
    const v1::Origin& origin = route.origin();
    out += fmt::format("    connections by {} {}/{} {}:{}\n", origin.kind(), origin.namespace_(), origin.name(),
                       origin.file(), origin.line());
    for (v1::ConnectionMatch match : route.matches()) {
      const auto as_text = [](auto& subnets) {
        for (v1::Subnet& subnet : subnets) subnet.set_address(address_text(subnet.address()));
      };
      as_text(*match.mutable_destination_subnets());
      as_text(*match.mutable_source_subnets());
      out += fmt::format("      if {}\n", match.ShortDebugString());
    }
    for (const v1::RouteDestination& to : route.destinations())
      out +=
          fmt::format("      {} to {}:{} {} as '{}'\n", to.weight(), to.service(), to.port(), to.subset(), to.host());
  }
}

// What a DestinationRule is about.
void render_parts(const v1::Service& service, std::string_view indent, std::string& out) {
  const auto line = std::back_inserter(out);
  for (int i = 0; i < service.policies_size(); ++i)
    fmt::format_to(line, "{}policy {} {}\n", indent, i + 1, service.policies(i).ShortDebugString());
  for (const auto& subset : service.subsets()) {
    fmt::format_to(line, "{}subset {}", indent, subset.name());
    const std::map<uint32_t, uint32_t> policies(subset.policies().begin(), subset.policies().end());
    for (const auto& [port, policy] : policies) fmt::format_to(line, " {}{}", port, policy_text(policy));
    out += "\n";
  }
  for (const auto& endpoint : service.endpoints()) {
    fmt::format_to(
        line, "{}{} {}{} {}{}\n", indent, address_text(endpoint.address()),
        endpoint.workload_uid().empty() ? "-" : endpoint.workload_uid(), endpoint.ready() ? " ready" : "",
        joined(endpoint.ports(),
               [](const auto& port) { return fmt::format("{}>{}", port.service_port(), port.target_port()); }),
        endpoint.subsets().empty() ? "" : fmt::format(" in {}", fmt::join(endpoint.subsets(), ",")));
  }
}

std::string ports_text(const v1::Service& service) {
  return joined(service.ports(), [](const auto& port) {
    return fmt::format("{}:{}:{}:{}{}", port.port(), port.name(), port.app_protocol(),
                       v1::Protocol_Name(port.protocol()).substr(9), policy_text(port.policy()));
  });
}

void render_client_rule(const v1::ClientRule& rule, std::string& out) {
  std::string labels;
  for (const auto& [label, value] : std::map<std::string, std::string>(rule.labels().begin(), rule.labels().end()))
    labels += fmt::format(" {}={}", label, value);
  out += fmt::format("  for clients of {}{} rule {} ports {}\n", fmt::join(rule.namespaces(), " "), labels, rule.rule(),
                     ports_text(rule.service()));
  render_parts(rule.service(), "    ", out);
}

void render_model(const v1::Mesh& mesh, std::string& out) {
  const auto line = std::back_inserter(out);
  const v1::MeshSettings& settings = mesh.settings();
  fmt::format_to(line, "settings {} {} connect {} ms, root {}\n", settings.trust_domain(),
                 v1::SameNode_Name(settings.same_node()), settings.connect_timeout_ms(), settings.root_namespace());
  for (const auto& workload : mesh.workloads()) {
    fmt::format_to(line, "workload {} {}/{} sa {} on {}{} owner {} {}{}{}{}{} mtls {} index {}\n", workload.uid(),
                   workload.namespace_(), workload.name(), workload.service_account(), workload.node(),
                   workload.zone().empty() ? "" : " in " + workload.zone(), workload.owner(),
                   joined(workload.addresses(), address_text), workload.captured() ? " captured" : "",
                   workload.local() ? " local" : "", workload.ready() ? " ready" : "",
                   workload.terminating() ? " terminating" : "", modes_text(workload.mtls(), workload.port_mtls()),
                   index_text(workload.pod_index()));
  }
  for (const auto& service : mesh.services()) {
    fmt::format_to(line, "service {}/{} {}{}{}{} ports {}\n", service.namespace_(), service.name(),
                   joined(service.vips(), address_text), service.headless() ? " headless" : "",
                   service.external() ? " external" : "",
                   service.visible_to().empty() ? "" : fmt::format(" for {}", fmt::join(service.visible_to(), " ")),
                   ports_text(service));
    render_parts(service, "  ", out);
    for (const v1::ClientRule& rule : service.client_rules()) render_client_rule(rule, out);
    for (const auto& table : service.route_tables()) render_table(table, out);
  }
  for (const auto& alias : mesh.aliases()) {
    fmt::format_to(
        line, "alias {} {} {}{}\n", alias.id(), address_text(alias.address()),
        alias.has_service()        ? "service " + alias.service()
        : alias.has_workload_uid() ? "workload " + alias.workload_uid()
                                   : "nobody",
        (alias.remote_only() ? " remote-only" : "") +
            (alias.other_services().empty() ? "" : fmt::format(" {}", fmt::join(alias.other_services(), " "))));
  }
  for (const v1::TlsSecret& secret : mesh.tls_secrets())
    fmt::format_to(line, "secret {}\n", secret.key().substr(0, secret.key().find('@')));
}

void render_plan(const CapturePlan& plan, std::string& out) {
  const auto line = std::back_inserter(out);
  for (const PlannedPod& pod : plan.pods) {
    fmt::format_to(line, "plan pod {} index {} {} netns {} mtls {} probes {}\n", pod.uid, pod.index,
                   joined(pod.addresses, [](const IpAddress& address) { return address.text(); }), pod.netns_path,
                   modes_text(pod.mtls, pod.port_mtls), pod.probe_ports);
    const Exclusions& out_of_mesh = pod.exclusions;
    const auto cidr_text = [](const Cidr& cidr) { return cidr.text(); };
    if (out_of_mesh == Exclusions{}) continue;
    fmt::format_to(line, "  excludes outbound {} {} inbound {} {}\n", out_of_mesh.outbound_ports,
                   joined(out_of_mesh.outbound_cidrs, cidr_text), out_of_mesh.inbound_ports,
                   joined(out_of_mesh.inbound_cidrs, cidr_text));
  }
  for (const PlannedAlias& alias : plan.aliases) {
    fmt::format_to(line, "plan alias {} {}{} pod {}\n", alias.id, alias.address.text(),
                   alias.destination ? " destination" : "", index_text(alias.pod_index));
  }
  for (const DirectService& direct : plan.services) {
    fmt::format_to(line, "plan direct alias {}:{} {} remote {}{}\n", direct.alias_id, direct.port,
                   joined(direct.local,
                          [](const DirectEndpoint& endpoint) {
                            return fmt::format("{}:{}@{}", endpoint.address.text(), endpoint.port, endpoint.pod_index);
                          }),
                   direct.remote_endpoints,
                   direct.remote_alias_id ? fmt::format(" by alias {}", *direct.remote_alias_id) : "");
  }
}

std::string render(const CompiledMesh& compiled, const Findings& parse_findings) {
  std::string out;
  render_model(compiled.mesh, out);
  render_plan(compiled.plan, out);
  for (const LocalPod& pod : compiled.local_pods) {
    out += fmt::format("local {}/{} {}: {}\n", pod.workload.namespace_(), pod.workload.name(),
                       pod.enrolled ? "enrolled" : "not enrolled", pod.reason);
  }
  for (const v1::RouteStatus& status : compiled.route_statuses) {
    out += fmt::format("status {} {}/{} at {}", status.route().kind(), status.route().namespace_(),
                       status.route().name(), status.parent());
    for (const v1::Condition& one : status.conditions())
      out += fmt::format(" {}={}{}", one.type(), one.holds(),
                         one.holds() ? "" : fmt::format(" {} ({})", one.reason(), one.message()));
    out += '\n';
  }
  Findings findings = parse_findings;
  findings.insert(findings.end(), compiled.findings.begin(), compiled.findings.end());
  for (const v1::Finding& finding : findings) {
    out += fmt::format("{}:{} {} {} {}: {}\n", finding.file(), finding.line(), finding.severity(), finding.object(),
                       finding.field(), finding.message());
  }
  return out;
}

std::string read_text(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("the objects of each golden file compile to exactly what stands beside them") {
  std::set<fs::path> inputs;
  for (const auto& entry : fs::directory_iterator(LEAT_GOLDEN_DIR)) {
    if (entry.path().extension() == ".yaml") inputs.insert(entry.path());
  }
  REQUIRE_FALSE(inputs.empty());
  for (const fs::path& input : inputs) {
    const Parsed parsed = parse(read_text(input), input.filename(), "default");
    ObjectSet objects;
    for (const Object& object : parsed.objects) objects.put(object);
    Books books;
    const std::string text = render(Compiler("node-a", books).compile(objects), parsed.findings);
    const fs::path golden = fs::path(input).replace_extension(".txt");
    if (std::getenv("LEAT_UPDATE_GOLDEN") != nullptr) std::ofstream(golden) << text;
    CAPTURE(input.filename().string());
    CHECK(text == read_text(golden));
  }
}

}  // namespace leat::control
