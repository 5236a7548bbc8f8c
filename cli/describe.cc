#include "cli/describe.h"

#include <map>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/text.h"
#include "cli/units.h"

namespace leat::cli {
namespace {

// ---- reading facts; every field is one that the views wrote

std::string text(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}
int64_t number(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_number() ? found->get<int64_t>() : 0;
}
bool is_true(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}
const Json& list(const Json& object, const char* field) {
  static const Json kNone = Json::array();
  const auto found = object.find(field);
  return found != object.end() && found->is_array() ? *found : kNone;
}
std::vector<std::string> words(const Json& array) {
  std::vector<std::string> all;
  for (const Json& one : array) {
    if (one.is_string()) all.push_back(one.get<std::string>());
  }
  return all;
}

// The one of this name, wherever it is if no namespace is given.
Result<const Json*> find(const Json& objects, const char* kind, std::string ns, std::string name) {
  if (const size_t slash = name.find('/'); slash != std::string::npos) {
    ns = name.substr(0, slash);
    name = name.substr(slash + 1);
  }
  std::vector<const Json*> found;
  std::set<std::string> namespaces;
  for (const Json& object : objects) {
    if (text(object, "name") != name || (!ns.empty() && text(object, "namespace") != ns)) continue;
    if (namespaces.insert(text(object, "namespace")).second) found.push_back(&object);
  }
  const std::string full = ns.empty() ? name : ns + "/" + name;
  if (found.empty()) return fail(ErrorCode::kNotFound, "no {} {} is known to Leat here", kind, full);
  if (found.size() > 1) {
    return fail(ErrorCode::kInvalid, "{} {} is in several namespaces: {}; choose one with -n", kind, name,
                fmt::join(namespaces, ", "));
  }
  return found.front();
}

std::string full_name(const Json& object) { return text(object, "namespace") + "/" + text(object, "name"); }

std::string mode_sentence(const std::string& mode) {
  if (mode == "STRICT" || mode == "strict") return "mutual TLS only (STRICT); plaintext is refused";
  if (mode == "DISABLE" || mode == "disable") return "plaintext only (mutual TLS is disabled)";
  return "mutual TLS and plaintext (PERMISSIVE)";
}

std::string route_sentence(const Json& route) {
  std::vector<std::string> shares;
  for (const Json& to : list(route, "destinations")) {
    const auto percent = to.find("percent");
    std::string share = text(to, "subset").empty() ? text(to, "service") : text(to, "subset");
    if (share.empty()) share = text(to, "host");
    if (percent != to.end() && percent->is_number()) share += fmt::format(" {:.3g} %", percent->get<double>());
    if (!text(to, "problem").empty()) share += fmt::format(" (can't be reached: {})", text(to, "problem"));
    shares.push_back(std::move(share));
  }
  std::string sentence;
  if (const auto matches = words(list(route, "matches")); !matches.empty())
    sentence += fmt::format("{}: ", fmt::join(matches, " or "));
  sentence += shares.empty() ? "no destination" : fmt::format("{}", fmt::join(shares, ", "));
  if (const auto actions = words(list(route, "actions")); !actions.empty())
    sentence += fmt::format("; {}", fmt::join(actions, "; "));
  const Json& from = route.contains("from") ? route["from"] : Json::object();
  const std::string place =
      text(from, "file").empty() ? "" : fmt::format(" {}:{}", text(from, "file"), number(from, "line"));
  return fmt::format("{} {}/{}{}: {}", text(from, "kind"), text(from, "namespace"), text(from, "name"), place,
                     sentence);
}

std::string port_sentence(const Json& port) {
  const std::string name = text(port, "name"), declared = text(port, "appProtocol");
  const std::string why = !declared.empty() ? fmt::format(" (appProtocol \"{}\")", declared)
                          : !name.empty()   ? fmt::format(" (port name \"{}\")", name)
                                            : "";
  return fmt::format("{}{}, {}", text(port, "protocol"), why, text(port, "loadBalancing"));
}

// What some clients have instead, of one port or (0) of all.
void add_client_rules(std::string& out, const Json& service, int64_t port, std::string_view indent) {
  for (const Json& rule : list(service, "clientRules")) {
    for (const Json& one : list(rule, "ports")) {
      if (port != 0 && number(one, "port") != port) continue;
      out += fmt::format("{}for {}: {}{}, by DestinationRule {}\n", indent, text(rule, "clients"),
                         port == 0 ? fmt::format("port {} ", number(one, "port")) : "", text(one, "loadBalancing"),
                         text(rule, "rule"));
    }
  }
}

// What is known of NAMESPACE/NAME:PORT, below the line of that destination.
void add_policy(std::string& out, const Facts& facts, const std::string& service, int64_t port) {
  for (const Json& known : facts.services) {
    if (full_name(known) != service) continue;
    for (const Json& one : list(known, "ports")) {
      if (number(one, "port") == port) out += fmt::format("      {}\n", port_sentence(one));
    }
    add_client_rules(out, known, port, "        ");
  }
  for (const Json& route : facts.routes) {
    if (full_name({{"namespace", text(route, "namespace")}, {"name", text(route, "host")}}) == service)
      out += fmt::format("      {}\n", route_sentence(route));
  }
}

// Flows of one way and one end, as one line.
struct Way {
  size_t open = 0, closed = 0, requests = 0;
  std::map<std::string, size_t> paths;    // in words
  std::map<std::string, size_t> reasons;  // of those that did not end well
  std::string service;
  int64_t port = 0;
};

std::string path_words(const Json& flow) {
  const std::string path = text(flow, "path"), security = text(flow, "security");
  if (path == "direct") return "same node, kernel direct";
  if (path == "untouched") return text(flow, "reason").empty() ? "not in the mesh: untouched" : text(flow, "reason");
  if (path == "hbone") return fmt::format("other node, {}", security.empty() ? "mTLS" : security);
  return fmt::format("by the proxy, {}", security.empty() ? "plaintext" : security);
}

void add_flow(Way& way, const Json& flow) {
  (number(flow, "closedMs") == 0 ? way.open : way.closed) += 1;
  way.requests += static_cast<size_t>(number(flow, "requests"));
  ++way.paths[path_words(flow)];
  const std::string verdict = text(flow, "verdict");
  if (verdict.empty() || verdict == "ok" || verdict == "open") return;
  const std::string cure = text(flow, "cure");
  ++way.reasons[fmt::format("{}: {}{}{}", verdict, text(flow, "reason"), cure.empty() ? "" : "; cure: ", cure)];
}

void add_ways(std::string& out, const Facts& facts, const std::map<std::string, Way>& ways, const char* preposition) {
  for (const auto& [end, way] : ways) {
    std::vector<std::string> paths;
    for (const auto& [path, count] : way.paths)
      paths.push_back(way.paths.size() == 1 ? path : fmt::format("{} × {}", count, path));
    out += fmt::format("  {} {}   {} open, {} closed lately{}: {}\n", preposition, end, way.open, way.closed,
                       way.requests == 0 ? "" : fmt::format(", {} requests", way.requests), fmt::join(paths, "; "));
    if (!way.service.empty()) add_policy(out, facts, way.service, way.port);
    for (const auto& [reason, count] : way.reasons) out += fmt::format("      {} × {}\n", count, reason);
  }
}

std::string name_of_destination(const Json& flow, Way& way) {
  way.port = number(flow, "requestedPort") != 0 ? number(flow, "requestedPort") : number(flow, "destinationPort");
  way.service = text(flow, "destinationService");
  if (!way.service.empty()) return fmt::format("{}:{}", way.service, way.port);
  if (!text(flow, "destinationPod").empty())
    return fmt::format("{}/{}:{}", text(flow, "destinationNamespace"), text(flow, "destinationPod"), way.port);
  return fmt::format("{}:{}", text(flow, "destinationAddress"), way.port);
}

std::string name_of_source(const Json& flow) {
  return text(flow, "sourcePod").empty() ? text(flow, "sourceAddress") + " (not a pod of the mesh)"
                                         : text(flow, "sourceNamespace") + "/" + text(flow, "sourcePod");
}

void add_certificate(std::string& out, const Facts& facts, const Json& pod, int64_t now_ms) {
  const std::string tail = fmt::format("/ns/{}/sa/{}", text(pod, "namespace"), text(pod, "serviceAccount"));
  for (const Json& certificate : facts.certificates) {
    const std::string identity = text(certificate, "identity"), node = text(certificate, "node");
    if (!identity.ends_with(tail) || (!node.empty() && node != text(pod, "node"))) continue;
    out += fmt::format("Identity {}; its certificate is {}", identity, text(certificate, "state"));
    if (number(certificate, "notAfterMs") > now_ms)
      out += fmt::format(" for {}", humanise_ms(number(certificate, "notAfterMs") - now_ms));
    out += ".\n";
    if (!text(certificate, "lastError").empty())
      out += fmt::format("  The last request for one failed: {}\n", text(certificate, "lastError"));
  }
}

}  // namespace

Result<std::string> describe_pod(const Facts& facts, const std::string& ns, const std::string& name, int64_t now_ms) {
  LEAT_TRY(const Json* found, find(facts.pods, "pod", ns, name));
  const Json& pod = *found;
  const std::string pod_ns = text(pod, "namespace"), pod_name = text(pod, "name");
  std::string out = fmt::format("Pod {}/{} on {}: {}; service account {}{}\n", pod_ns, pod_name, text(pod, "node"),
                                fmt::join(words(list(pod, "addresses")), ", "), text(pod, "serviceAccount"),
                                text(pod, "owner").empty() ? "" : "; owner " + text(pod, "owner"));
  const bool enrolled = text(pod, "enrolment") == "enrolled";
  const std::string since =
      number(pod, "sinceMs") == 0 ? "" : fmt::format(" for {}", humanise_ms(now_ms - number(pod, "sinceMs")));
  out += enrolled ? fmt::format("Captured{}: {}.\n", since, or_dash(text(pod, "reason")))
                  : fmt::format("Not captured ({}){}: {}. Its traffic is untouched.\n", text(pod, "enrolment"), since,
                                or_dash(text(pod, "reason")));
  if (enrolled) {
    out += fmt::format("Accepts {}.\n", mode_sentence(text(pod, "mtls")));
    if (pod.contains("portMtls")) {
      for (const auto& [port, mode] : pod["portMtls"].items())
        out += fmt::format("  Port {}: {}.\n", port, mode_sentence(mode.is_string() ? mode.get<std::string>() : ""));
    }
    add_certificate(out, facts, pod, now_ms);
  }

  std::map<std::string, Way> outbound, inbound;
  for (const Json& flow : facts.flows) {
    const bool is_inbound_record = text(flow, "direction") == "inbound";
    if (text(flow, "sourceNamespace") == pod_ns && text(flow, "sourcePod") == pod_name && !is_inbound_record) {
      Way named;
      const std::string end = name_of_destination(flow, named);
      Way& way = outbound.try_emplace(end, named).first->second;
      add_flow(way, flow);
    }
    const bool to_it = text(flow, "destinationNamespace") == pod_ns && text(flow, "destinationPod") == pod_name;
    // What crosses nodes is told by both: the server's own record counts.
    if (to_it && (is_inbound_record || text(flow, "path") == "direct" || text(flow, "path") == "proxy"))
      add_flow(inbound[name_of_source(flow)], flow);
  }
  out += outbound.empty() ? "Outbound: no connection lately.\n" : "Outbound:\n";
  add_ways(out, facts, outbound, "to");
  out += inbound.empty() ? "Inbound: no connection lately.\n" : "Inbound:\n";
  add_ways(out, facts, inbound, "from");
  return out;
}

Result<std::string> describe_service(const Facts& facts, const std::string& ns, const std::string& name) {
  LEAT_TRY(const Json* found, find(facts.services, "Service of the mesh", ns, name));
  const Json& service = *found;
  const std::string own = full_name(service);
  const auto addresses = words(list(service, "vips"));
  std::string out = fmt::format(
      "Service {}: {}\n", own,
      addresses.empty() ? "headless: its pods' own addresses" : fmt::format("{}", fmt::join(addresses, ", ")));
  for (const Json& port : list(service, "ports"))
    out += fmt::format("  Port {}: {}\n", number(port, "port"), port_sentence(port));
  add_client_rules(out, service, 0, "    ");
  bool routed = false;
  for (const Json& route : facts.routes) {
    if (text(route, "namespace") != text(service, "namespace") || text(route, "host") != text(service, "name"))
      continue;
    if (!std::exchange(routed, true)) out += "Routes:\n";
    out += fmt::format("  {}\n", route_sentence(route));
  }
  if (!routed) out += "Routes: none; requests go to the endpoints as they are balanced.\n";
  const Json& endpoints = list(service, "endpoints");
  out += endpoints.empty() ? "Endpoints: none: connections are refused.\n" : "Endpoints:\n";
  for (const Json& endpoint : endpoints) {
    const std::string pod = text(endpoint, "pod"), node = text(endpoint, "node");
    out += fmt::format("  {}   {}{}{}, {}\n", text(endpoint, "address"), pod.empty() ? "no pod that is known" : pod,
                       node.empty() ? "" : " on " + node, is_true(endpoint, "ready") ? "" : ", not ready",
                       is_true(endpoint, "captured") ? "in the mesh" : "outside the mesh: reached in plaintext");
  }
  std::map<std::string, Way> callers;
  for (const Json& flow : facts.flows) {
    if (text(flow, "destinationService") == own && text(flow, "direction") != "inbound")
      add_flow(callers[name_of_source(flow)], flow);
  }
  out += callers.empty() ? "Callers: none lately.\n" : "Callers:\n";
  add_ways(out, facts, callers, "from");
  return out;
}

}  // namespace leat::cli
