#include "control/read_object.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/known_fields.h"
#include "control/read_destination_rule.h"
#include "control/read_gateway_route.h"
#include "control/read_network_policy.h"
#include "control/read_retries.h"
#include "control/read_secret.h"
#include "control/read_service_entry.h"
#include "control/read_telemetry.h"
#include "control/read_virtual_service.h"
#include "control/settings.h"

namespace leat::control {
namespace {

constexpr std::string_view kServiceNameLabel = "kubernetes.io/service-name";
constexpr std::string_view kPodTemplateHash = "pod-template-hash";
constexpr char kNetnsAnnotation[] = "leat.dev/netns";

// The controller's name; of a ReplicaSet that a Deployment made, the Deployment's: it is what people know the pods by.
std::string read_owner(const Field& metadata, const Labels& labels) {
  for (const Field& reference : metadata["ownerReferences"].items()) {
    if (reference["controller"].boolean() != true) continue;
    std::string owner = reference["name"].text_or();
    const auto hash = labels.find(std::string(kPodTemplateHash));
    if (hash != labels.end() && owner.ends_with("-" + hash->second))
      owner.resize(owner.size() - hash->second.size() - 1);
    return owner;
  }
  return "";
}

bool is_tcp(const Field& protocol) { return protocol.text_or("TCP") == "TCP"; }

// ---- Namespace, Node

Object read_namespace(const Field&, Meta meta) { return Namespace{std::move(meta)}; }
Object read_node(const Field&, Meta meta) { return Node{std::move(meta)}; }

// ---- RuntimeClass

Object read_runtime_class(const Field& root, Meta meta) {
  RuntimeClass runtime{.meta = std::move(meta), .handler = root["handler"].text_or()};
  if (runtime.handler.empty()) root["handler"].fatal("missing; the object is left out");
  return runtime;
}

// ---- Pod

std::vector<ContainerPort> read_container_ports(const Field& container) {
  std::vector<ContainerPort> ports;
  for (const Field& entry : container["ports"].items()) {
    const auto number = entry["containerPort"].port();
    if (number && is_tcp(entry["protocol"])) ports.push_back({entry["name"].text_or(), *number});
  }
  return ports;
}

void read_probe_port(const Field& port, const std::vector<ContainerPort>& ports, std::vector<uint16_t>& probe_ports) {
  const auto text = port.text();
  if (!text) return;
  if (const auto number = parse_port(*text)) {
    probe_ports.push_back(*number);
  } else if (const auto named = std::ranges::find(ports, *text, &ContainerPort::name); named != ports.end()) {
    probe_ports.push_back(named->port);
  } else {
    port.error(fmt::format(
        "'{}' is neither a port nor the name of a port of this container; the probe can't be let through", *text));
  }
}

void read_container(const Field& container, Pod& pod) {
  const std::vector<ContainerPort> ports = read_container_ports(container);
  for (const char* probe : {"readinessProbe", "livenessProbe", "startupProbe"}) {
    for (const char* action : {"httpGet", "tcpSocket", "grpc"})
      read_probe_port(container[probe][action]["port"], ports, pod.probe_ports);
  }
  pod.ports.insert(pod.ports.end(), ports.begin(), ports.end());
}

// A pod has one address of a family; that status.podIP stands in status.podIPs again is usual.
void read_pod_address(const Field& field, Pod& pod) {
  const auto address = field.address();
  if (!address) return;
  const auto same_family = std::ranges::find(pod.addresses, address->is_v4(), &IpAddress::is_v4);
  if (same_family == pod.addresses.end()) {
    pod.addresses.push_back(*address);
  } else if (*same_family != *address) {
    field.error(
        fmt::format("{} is a second address of one family besides {}; ignored", address->text(), same_family->text()));
  }
}

Object read_pod(const Field& root, Meta meta) {
  Pod pod{.meta = std::move(meta)};
  if (const auto netns = pod.meta.annotations.find(kNetnsAnnotation); netns != pod.meta.annotations.end())
    pod.netns_path = netns->second;
  const Field spec = root["spec"];
  const Field status = root["status"];
  pod.node = spec["nodeName"].text_or();
  // Goes into the pod's identity: what is no name must not get there.
  const Field account = spec["serviceAccountName"].present() ? spec["serviceAccountName"] : spec["serviceAccount"];
  pod.service_account = account.name().value_or("default");
  pod.host_network = spec["hostNetwork"].boolean().value_or(false);
  pod.runtime_class = spec["runtimeClassName"].text_or();
  for (const Field& container : spec["initContainers"].items()) read_container(container, pod);
  for (const Field& container : spec["containers"].items()) read_container(container, pod);
  std::ranges::sort(pod.probe_ports);
  const auto repeated = std::ranges::unique(pod.probe_ports);
  pod.probe_ports.erase(repeated.begin(), repeated.end());
  pod.phase = status["phase"].text_or();
  for (const Field& condition : status["conditions"].items()) {
    if (condition["type"].text_or() == "Ready") pod.ready = condition["status"].text_or() == "True";
  }
  read_pod_address(status["podIP"], pod);
  for (const Field& entry : status["podIPs"].items()) read_pod_address(entry["ip"], pod);
  return pod;
}

// ---- NodeWorkloads

// Nothing of it names anybody's identity but what the node's own agent says; published_pods.h checks it against
// what the control plane says.
Pod read_published_pod(const Field& entry, const std::string& node, const Source& source) {
  Pod pod{.node = node, .service_account = entry["serviceAccount"].name().value_or("default"), .phase = "Running"};
  pod.published = true;
  pod.meta.name = {entry["namespace"].name().value_or(""), entry["name"].name().value_or("")};
  pod.meta.uid = entry["uid"].name().value_or("");
  pod.meta.labels = entry["labels"].labels();
  pod.meta.owner = entry["owner"].text_or();
  pod.meta.terminating = entry["terminating"].boolean().value_or(false);
  pod.meta.source = source;
  for (const Field& address : entry["addresses"].items()) read_pod_address(address, pod);
  return pod;
}

Object read_node_workloads(const Field& root, Meta meta) {
  NodeWorkloads published{.meta = std::move(meta)};
  const Field spec = root["spec"];
  published.node = spec["node"].name().value_or("");
  if (published.node.empty()) spec["node"].fatal("missing; the object is left out");
  for (const Field& entry : spec["workloads"].items()) {
    Pod pod = read_published_pod(entry, published.node, published.meta.source);
    if (pod.meta.name.ns.empty() || pod.meta.name.name.empty() || pod.meta.uid.empty() || pod.addresses.empty()) {
      entry.error("needs namespace, name, uid and addresses; left out");
    } else {
      published.pods.push_back(std::move(pod));
    }
  }
  return published;
}

// ---- Service

TargetPort read_target_port(const Field& field, uint16_t otherwise) {
  const auto text = field.text();
  if (!text || *text == "0") return {otherwise, ""};  // Kubernetes reads 0 as absent
  if (const auto number = parse_port(*text)) return {*number, ""};
  if (text->find_first_not_of("0123456789") == std::string::npos)
    field.error(fmt::format("must be a port, 1 to 65535, not '{}'", *text));
  return {0, *text};
}

void read_affinity(const Field& spec, Service& service) {
  const std::string affinity = spec["sessionAffinity"].text_or("None");
  service.client_ip_affinity = affinity == "ClientIP";
  if (affinity != "None" && affinity != "ClientIP")
    spec["sessionAffinity"].error(fmt::format("must be None or ClientIP, not '{}'; ignored", affinity));
}

void read_traffic_distribution(const Field& field, Service& service) {
  const auto text = field.text();
  if (!text) return;
  if (*text == "PreferClose" || *text == "PreferSameZone" || *text == "PreferSameNode") {
    service.traffic_distribution = *text;
  } else {
    field.error(fmt::format("must be PreferClose, PreferSameZone or PreferSameNode, not '{}'; ignored", *text));
  }
}

void warn_unsupported_service_fields(const Field& spec) {
  if (spec["internalTrafficPolicy"].text_or("Cluster") != "Cluster") {
    spec["internalTrafficPolicy"].warn("not supported, ignored: endpoints of all nodes are used");
  }
}

Object read_service(const Field& root, Meta meta) {
  Service service{.meta = std::move(meta)};
  const Field spec = root["spec"];
  service.external_name = spec["type"].text_or() == "ExternalName";
  service.publish_not_ready = spec["publishNotReadyAddresses"].boolean().value_or(false);
  service.selector = spec["selector"].labels();
  read_affinity(spec, service);
  read_traffic_distribution(spec["trafficDistribution"], service);
  warn_unsupported_service_fields(spec);

  const auto add_vip = [&service](const Field& field) {
    const std::string text = field.text_or();
    if (text == "None") service.headless = true;
    if (text.empty() || text == "None") return;
    const auto address = field.address();
    if (address && std::ranges::find(service.vips, *address) == service.vips.end()) service.vips.push_back(*address);
  };
  add_vip(spec["clusterIP"]);
  for (const Field& entry : spec["clusterIPs"].items()) add_vip(entry);

  for (const Field& entry : spec["ports"].items()) {
    const auto number = entry["port"].port();
    if (!number) {
      if (!entry["port"].present()) entry.error("has no port; left out");
      continue;
    }
    if (!is_tcp(entry["protocol"])) continue;
    service.ports.push_back({entry["name"].text_or(), *number, read_target_port(entry["targetPort"], *number),
                             entry["appProtocol"].text_or()});
  }
  return service;
}

// ---- EndpointSlice

std::optional<std::vector<std::string>> read_hint(const Field& list) {
  if (!list.present()) return std::nullopt;
  std::vector<std::string> names;
  for (const Field& entry : list.items()) names.push_back(entry["name"].text_or());
  return names;
}

Object read_endpoint_slice(const Field& root, Meta meta) {
  EndpointSlice slice{.meta = std::move(meta)};
  const auto label = slice.meta.labels.find(std::string(kServiceNameLabel));
  if (label == slice.meta.labels.end()) {
    root["metadata"]["labels"].fatal(fmt::format("no label {}: it belongs to no Service; left out", kServiceNameLabel));
    return slice;
  }
  slice.service = label->second;
  if (root["addressType"].text_or() == "FQDN") {
    root["addressType"].fatal("FQDN is not supported, only IPv4 and IPv6; left out");
    return slice;
  }
  for (const Field& entry : root["ports"].items()) {
    const auto number = entry["port"].port();
    if (number && is_tcp(entry["protocol"])) slice.ports.push_back({entry["name"].text_or(), *number});
  }
  for (const Field& entry : root["endpoints"].items()) {
    SliceEndpoint endpoint;
    for (const Field& address : entry["addresses"].items()) {
      if (const auto parsed = address.address()) endpoint.addresses.push_back(*parsed);
    }
    endpoint.node = entry["nodeName"].text_or();
    endpoint.zone = entry["zone"].text_or();
    endpoint.for_zones = read_hint(entry["hints"]["forZones"]);
    endpoint.for_nodes = read_hint(entry["hints"]["forNodes"]);
    const Field conditions = entry["conditions"];
    endpoint.ready = conditions["ready"].boolean().value_or(true);
    endpoint.serving = conditions["serving"].boolean().value_or(endpoint.ready);
    endpoint.terminating = conditions["terminating"].boolean().value_or(false);
    slice.endpoints.push_back(std::move(endpoint));
  }
  return slice;
}

// ---- PeerAuthentication

// A mode that can't be read makes the policy unusable: to guess PERMISSIVE would open what was meant to be closed.
Mode read_mode(const Field& mode) {
  const auto text = mode.text();
  if (!text || *text == "UNSET") return std::nullopt;
  if (*text == "PERMISSIVE") return v1::MTLS_PERMISSIVE;
  if (*text == "STRICT") return v1::MTLS_STRICT;
  if (*text == "DISABLE") return v1::MTLS_DISABLE;
  mode.fatal(fmt::format("must be UNSET, PERMISSIVE, STRICT or DISABLE, not '{}'; the policy is left out", *text));
  return std::nullopt;
}

Object read_peer_authentication(const Field& root, Meta meta) {
  PeerAuthentication policy{.meta = std::move(meta)};
  const Field spec = root["spec"];
  policy.selector = spec["selector"]["matchLabels"].labels();
  policy.mode = read_mode(spec["mtls"]["mode"]);
  for (const auto& [key, entry] : spec["portLevelMtls"].entries()) {
    if (const auto port = parse_port(key)) {
      policy.port_modes[*port] = read_mode(entry["mode"]);
    } else {
      entry.fatal(fmt::format("must be a port, 1 to 65535, not '{}'; the policy is left out", key));
    }
  }
  if (policy.selector.empty() && !policy.port_modes.empty()) {
    spec["portLevelMtls"].error("ignored: modes of single ports need a selector");
    policy.port_modes.clear();
  }
  return policy;
}

// ---- Mesh

std::optional<v1::SameNode> read_same_node(const Field& field) {
  const auto text = field.text();
  if (!text) return std::nullopt;
  if (*text == "direct") return v1::SAME_NODE_DIRECT;
  if (*text == "proxy") return v1::SAME_NODE_PROXY;
  if (*text == "mtls") return v1::SAME_NODE_MTLS;
  field.error(fmt::format("must be direct, proxy or mtls, not '{}'; ignored", *text));
  return std::nullopt;
}

// Within what makes sense for any of them: a time of 0 would fail everything, a longer one than a day is a typing
// error.
std::optional<uint32_t> read_time_ms(const Field& field, uint32_t least_ms) {
  constexpr uint64_t kDayMs = 24ull * 3'600'000;
  const auto time = field.duration_ms();
  if (!time) return std::nullopt;
  if (*time >= least_ms && *time <= kDayMs) return static_cast<uint32_t>(*time);
  field.error(fmt::format("must be {} ms to 24 h; ignored", least_ms));
  return std::nullopt;
}

Object read_mesh(const Field& root, Meta meta) {
  Mesh mesh{.meta = std::move(meta), .settings = default_settings()};
  const Field spec = root["spec"];
  v1::MeshSettings& settings = mesh.settings;
  if (auto domain = spec["trustDomain"].name()) settings.set_trust_domain(std::move(*domain));
  if (auto name = spec["rootNamespace"].name()) settings.set_root_namespace(std::move(*name));
  if (const auto same_node = read_same_node(spec["sameNode"])) settings.set_same_node(*same_node);
  if (const auto time = read_time_ms(spec["connectTimeout"], 1)) settings.set_connect_timeout_ms(*time);
  if (const auto time = read_time_ms(spec["drainTimeout"], 0)) settings.set_drain_timeout_ms(*time);
  if (const auto time = read_time_ms(spec["noProxyTimeout"], 0)) settings.set_no_proxy_timeout_ms(*time);
  if (const auto time = read_time_ms(spec["certificateLifetime"], 1000)) {
    settings.set_certificate_lifetime_s(*time / 1000);
  }
  if (spec["retries"].present()) *settings.mutable_retries() = read_retries(spec["retries"]);
  settings.set_no_reason_header(!spec["reasonHeader"].boolean().value_or(true));
  read_mesh_telemetry(spec, settings);
  for (const Field& handler : spec["sandboxedRuntimes"].items()) {
    if (auto text = handler.text()) mesh.sandboxed_runtimes.push_back(std::move(*text));
  }
  if (mesh.meta.name.name != "default") {
    root["metadata"]["name"].fatal("the Mesh object must be named 'default'; this one is left out");
  }
  return mesh;
}

constexpr std::string_view kIstioNetworking =
    "networking.istio.io/v1 networking.istio.io/v1beta1 networking.istio.io/v1alpha3";

constexpr Reader kReaders[] = {
    {Namespace::kKind, "v1", true, read_namespace},
    {Node::kKind, "v1", true, read_node},
    {RuntimeClass::kKind, "node.k8s.io/v1", true, read_runtime_class},
    {Pod::kKind, "v1", false, read_pod},
    {NodeWorkloads::kKind, "leat.dev/v1alpha1", true, read_node_workloads},
    {Service::kKind, "v1", false, read_service},
    {EndpointSlice::kKind, "discovery.k8s.io/v1", false, read_endpoint_slice},
    {PeerAuthentication::kKind, "security.istio.io/v1 security.istio.io/v1beta1", false, read_peer_authentication},
    {VirtualService::kKind, kIstioNetworking, false, read_virtual_service},
    {DestinationRule::kKind, kIstioNetworking, false, read_destination_rule},
    {ServiceEntry::kKind, kIstioNetworking, false, read_service_entry},
    {Secret::kKind, "v1", false, read_secret},
    {GatewayHttpRoute::kKind, "gateway.networking.k8s.io/v1 gateway.networking.k8s.io/v1beta1", false, read_http_route},
    {GatewayGrpcRoute::kKind, "gateway.networking.k8s.io/v1", false, read_grpc_route},
    {ReferenceGrant::kKind, "gateway.networking.k8s.io/v1 gateway.networking.k8s.io/v1beta1", false,
     read_reference_grant},
    {NetworkPolicy::kKind, "networking.k8s.io/v1", false, read_network_policy},
    {Telemetry::kKind, "telemetry.istio.io/v1 telemetry.istio.io/v1alpha1", false, read_telemetry},
    {Mesh::kKind, "leat.dev/v1alpha1", true, read_mesh},
};

}  // namespace

const Reader* find_reader(std::string_view kind) {
  const auto found = std::ranges::find(kReaders, kind, &Reader::kind);
  return found == std::end(kReaders) ? nullptr : &*found;
}

Meta read_meta(const Field& root, const Reader& reader, const std::string& default_namespace) {
  const Field metadata = root["metadata"];
  Meta meta;
  meta.name.name = metadata["name"].name().value_or("");
  if (!reader.cluster_scoped) meta.name.ns = metadata["namespace"].name().value_or(default_namespace);
  meta.uid = metadata["uid"].name().value_or("");
  meta.created = metadata["creationTimestamp"].text_or();
  meta.terminating = metadata["deletionTimestamp"].present();
  meta.labels = metadata["labels"].labels();
  meta.annotations = metadata["annotations"].labels();
  meta.owner = read_owner(metadata, meta.labels);
  meta.source = {root.sink().file, root.line()};
  return meta;
}

std::optional<Object> read_document(const Value& document, const Reader& reader, const std::string& default_namespace,
                                    FindingSink& sink) {
  const Field root(document, sink);
  if (!root.is_map()) {
    root.fatal("must be a Kubernetes object, a mapping with apiVersion, kind and metadata");
    return std::nullopt;
  }
  // Names it as well as can be, for what is found on the way to its real name.
  sink.object = fmt::format("{} {}", reader.kind, root["metadata"].is_map() ? root["metadata"]["name"].text_or() : "");
  Meta meta = read_meta(root, reader, default_namespace);
  if (!sink.usable) return std::nullopt;
  if (meta.name.name.empty()) {
    root["metadata"]["name"].fatal("missing; the object is left out");
    return std::nullopt;
  }
  sink.object = describe(reader.kind, meta.name);
  if (sink.check_fields) check_known_fields(reader.kind, root);
  Object object = reader.read(root, std::move(meta));
  return sink.usable ? std::optional(std::move(object)) : std::nullopt;
}

}  // namespace leat::control
