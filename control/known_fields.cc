#include "control/known_fields.h"

#include <algorithm>
#include <array>
#include <set>
#include <span>
#include <vector>

#include <fmt/format.h>

namespace leat::control {
namespace {

// One mapping of a kind: where it stands ("[]": any element of a list, "*": any key, "**" at the front: anywhere) and
// the fields it may have, separated by spaces. A mapping that has no level here is not looked into.
// A field that its project knows and Leat does not honour, and what happens instead.
struct NotYet {
  std::string_view field;
  std::string_view instead;
};

struct Level {
  std::string_view path;
  std::string_view fields;
  std::array<NotYet, 6> not_yet{};
};

constexpr std::string_view kTop = "apiVersion kind metadata spec status";
constexpr std::string_view kAnyKey = "*";

constexpr Level kMetadata[] = {
    {"metadata",
     "annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation "
     "labels managedFields "
     "name namespace ownerReferences resourceVersion selfLink uid"},
    {"metadata.labels", kAnyKey},
    {"metadata.annotations", kAnyKey},
    {"metadata.ownerReferences[]", "apiVersion blockOwnerDeletion controller kind name uid"},
};

constexpr Level kNamespaceOrNode[] = {{"", kTop}};
constexpr Level kRuntimeClass[] = {{"", "apiVersion handler kind metadata overhead scheduling"}};

constexpr std::string_view kContainer =
    "args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resizePolicy "
    "resources restartPolicy "
    "restartPolicyRules securityContext startupProbe stdin stdinOnce terminationMessagePath terminationMessagePolicy "
    "tty volumeDevices "
    "volumeMounts workingDir";
constexpr std::string_view kContainerPort = "containerPort hostIP hostPort name protocol";
constexpr std::string_view kProbe =
    "exec failureThreshold grpc httpGet initialDelaySeconds periodSeconds successThreshold tcpSocket "
    "terminationGracePeriodSeconds "
    "timeoutSeconds";

constexpr Level kNodeWorkloads[] = {
    {"", kTop},
    {"spec", "node workloads"},
    {"spec.workloads[]", "addresses labels name namespace owner serviceAccount terminating uid"},
};

constexpr Level kPod[] = {
    {"", kTop},
    {"spec",
     "activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks "
     "ephemeralContainers "
     "hostAliases hostIPC hostNetwork hostPID hostUsers hostname hostnameOverride imagePullSecrets initContainers "
     "nodeName nodeSelector os "
     "overhead preemptionPolicy priority priorityClassName readinessGates resourceClaims resources restartPolicy "
     "runtimeClassName "
     "schedulerName schedulingGates securityContext serviceAccount serviceAccountName setHostnameAsFQDN "
     "shareProcessNamespace subdomain "
     "terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes"},
    {"spec.containers[]", kContainer},
    {"spec.containers[].ports[]", kContainerPort},
    {"spec.containers[].livenessProbe", kProbe},
    {"spec.containers[].readinessProbe", kProbe},
    {"spec.containers[].startupProbe", kProbe},
    {"spec.initContainers[]", kContainer},
    {"spec.initContainers[].ports[]", kContainerPort},
    {"spec.initContainers[].livenessProbe", kProbe},
    {"spec.initContainers[].readinessProbe", kProbe},
    {"spec.initContainers[].startupProbe", kProbe},
    {"status",
     "allocatedResources conditions containerStatuses ephemeralContainerStatuses extendedResourceClaimStatus hostIP "
     "hostIPs "
     "initContainerStatuses message nominatedNodeName observedGeneration phase podIP podIPs qosClass reason resize "
     "resourceClaimStatuses "
     "resources startTime"},
    {"status.conditions[]", "lastProbeTime lastTransitionTime message observedGeneration reason status type"},
    {"status.podIPs[]", "ip"},
};

constexpr Level kService[] = {
    {"", kTop},
    {"spec",
     "allocateLoadBalancerNodePorts clusterIP clusterIPs externalIPs externalName externalTrafficPolicy "
     "healthCheckNodePort "
     "internalTrafficPolicy ipFamilies ipFamilyPolicy loadBalancerClass loadBalancerIP loadBalancerSourceRanges ports "
     "publishNotReadyAddresses selector sessionAffinity sessionAffinityConfig trafficDistribution type"},
    {"spec.ports[]", "appProtocol name nodePort port protocol targetPort"},
    {"spec.selector", kAnyKey},
};

constexpr Level kEndpointSlice[] = {
    {"", "addressType apiVersion endpoints kind metadata ports"},
    {"endpoints[]", "addresses conditions deprecatedTopology hints hostname nodeName targetRef zone"},
    {"endpoints[].conditions", "ready serving terminating"},
    {"endpoints[].hints", "forNodes forZones"},
    {"endpoints[].hints.forNodes[]", "name"},
    {"endpoints[].hints.forZones[]", "name"},
    {"ports[]", "appProtocol name port protocol"},
};

constexpr Level kPeerAuthentication[] = {
    {"", kTop},
    {"spec", "mtls portLevelMtls selector"},
    {"spec.selector", "matchLabels"},
    {"spec.selector.matchLabels", kAnyKey},
    {"spec.mtls", "mode"},
    {"spec.portLevelMtls", kAnyKey},
    {"spec.portLevelMtls.*", "mode"},
};

constexpr std::string_view kTextMatch = "exact prefix regex";
constexpr std::string_view kRetries =
    "attempts backoff perTryTimeout retryIgnorePreviousHosts retryOn retryRemoteLocalities";
constexpr std::string_view kHeaders = "request response";
constexpr std::string_view kHeaderEdits = "add remove set";

constexpr Level kVirtualService[] = {
    {"", kTop},
    {"spec", "exportTo gateways hosts http tcp tls"},
    {"spec.http[]",
     "corsPolicy delegate directResponse fault headers match mirror mirrorPercent mirrorPercentage mirrors name "
     "redirect retries rewrite route timeout"},
    {"spec.http[].corsPolicy",
     "allowCredentials allowHeaders allowMethods allowOrigin allowOrigins exposeHeaders maxAge unmatchedPreflights"},
    {"spec.http[].corsPolicy.allowOrigins[]", kTextMatch},
    {"spec.http[].delegate", "name namespace"},
    {"spec.http[].directResponse", "body status"},
    {"spec.http[].directResponse.body", "bytes string"},
    {"spec.http[].fault", "abort delay"},
    {"spec.http[].fault.abort", "grpcStatus httpStatus percentage", {{{"http2Error", "no request is aborted by it"}}}},
    {"spec.http[].fault.abort.percentage", "value"},
    {"spec.http[].fault.delay",
     "fixedDelay percent percentage",
     {{{"exponentialDelay", "no request is delayed by it"}}}},
    {"spec.http[].fault.delay.percentage", "value"},
    {"spec.http[].headers", kHeaders},
    {"spec.http[].headers.request", kHeaderEdits},
    {"spec.http[].headers.request.add", kAnyKey},
    {"spec.http[].headers.request.set", kAnyKey},
    {"spec.http[].headers.response", kHeaderEdits},
    {"spec.http[].headers.response.add", kAnyKey},
    {"spec.http[].headers.response.set", kAnyKey},
    {"spec.http[].mirror", "host port subset"},
    {"spec.http[].mirror.port", "number"},
    {"spec.http[].mirrorPercentage", "value"},
    {"spec.http[].mirrors[]", "destination percentage"},
    {"spec.http[].mirrors[].destination", "host port subset"},
    {"spec.http[].mirrors[].destination.port", "number"},
    {"spec.http[].mirrors[].percentage", "value"},
    {"spec.http[].redirect", "authority derivePort port prefixRewrite redirectCode scheme uri"},
    {"spec.http[].retries", kRetries},
    {"spec.http[].rewrite", "authority uri uriRegexRewrite"},
    {"spec.http[].rewrite.uriRegexRewrite", "match rewrite"},
    {"spec.http[].match[]",
     "authority gateways headers ignoreUriCase method name port queryParams scheme sourceLabels sourceNamespace uri "
     "withoutHeaders",
     {{{"statPrefix", "metrics are by Service, not by route; requests are routed the same"}}}},
    {"spec.http[].match[].authority", kTextMatch},
    {"spec.http[].match[].headers", kAnyKey},
    {"spec.http[].match[].headers.*", kTextMatch},
    {"spec.http[].match[].method", kTextMatch},
    {"spec.http[].match[].queryParams", kAnyKey},
    {"spec.http[].match[].queryParams.*", kTextMatch},
    {"spec.http[].match[].scheme", kTextMatch},
    {"spec.http[].match[].sourceLabels", kAnyKey},
    {"spec.http[].match[].uri", kTextMatch},
    {"spec.http[].match[].withoutHeaders", kAnyKey},
    {"spec.http[].match[].withoutHeaders.*", kTextMatch},
    {"spec.http[].route[]", "destination headers weight"},
    {"spec.http[].route[].headers", kHeaders},
    {"spec.http[].route[].headers.request", kHeaderEdits},
    {"spec.http[].route[].headers.request.add", kAnyKey},
    {"spec.http[].route[].headers.request.set", kAnyKey},
    {"spec.http[].route[].headers.response", kHeaderEdits},
    {"spec.http[].route[].headers.response.add", kAnyKey},
    {"spec.http[].route[].headers.response.set", kAnyKey},
    {"spec.http[].route[].destination", "host port subset"},
    {"spec.http[].route[].destination.port", "number"},
    {"spec.tcp[]", "match route"},
    {"spec.tcp[].match[]", "destinationSubnets gateways port sourceLabels sourceNamespace sourceSubnet"},
    {"spec.tcp[].match[].sourceLabels", kAnyKey},
    {"spec.tcp[].route[]", "destination weight"},
    {"spec.tcp[].route[].destination", "host port subset"},
    {"spec.tcp[].route[].destination.port", "number"},
    {"spec.tls[]", "match route"},
    {"spec.tls[].match[]", "destinationSubnets gateways port sniHosts sourceLabels sourceNamespace"},
    {"spec.tls[].match[].sourceLabels", kAnyKey},
    {"spec.tls[].route[]", "destination weight"},
    {"spec.tls[].route[].destination", "host port subset"},
    {"spec.tls[].route[].destination.port", "number"},
};

constexpr std::string_view kTrafficPolicy =
    "connectionPool loadBalancer outlierDetection portLevelSettings retryBudget tls";

constexpr Level kDestinationRule[] = {
    {"", kTop},
    {"spec", "exportTo host subsets trafficPolicy workloadSelector"},
    {"spec.subsets[]", "labels name trafficPolicy"},
    {"spec.subsets[].labels", kAnyKey},
    {"spec.workloadSelector", "matchLabels"},
    {"spec.workloadSelector.matchLabels", kAnyKey},
    {"**.trafficPolicy",
     kTrafficPolicy,
     {{{"proxyProtocol", "connections begin without a PROXY header"},
       {"tunnel", "connections go to the endpoint itself, not through an HTTP proxy"}}}},
    {"**.portLevelSettings[]", "connectionPool loadBalancer outlierDetection port tls"},
    {"**.portLevelSettings[].port", "number"},
    {"**.loadBalancer",
     "consistentHash localityLbSetting simple warmup warmupDurationSecs",
     {{{"zoneAwareLbSetting", "zones are preferred as localityLbSetting says, or not at all"}}}},
    {"**.consistentHash",
     "httpCookie httpHeaderName httpQueryParameterName maglev minimumRingSize ringHash useSourceIp"},
    {"**.consistentHash.httpCookie", "name path ttl", {{{"attributes", "the cookie is set without them"}}}},
    {"**.consistentHash.maglev", "tableSize"},
    {"**.consistentHash.ringHash", "minimumRingSize"},
    {"**.localityLbSetting", "distribute enabled failover failoverPriority"},
    {"**.localityLbSetting.distribute[]", "from to"},
    {"**.localityLbSetting.distribute[].to", kAnyKey},
    {"**.localityLbSetting.failover[]", "from to"},
    {"**.loadBalancer.warmup", "aggression duration minimumPercent"},
    {"**.connectionPool", "http tcp"},
    {"**.connectionPool.tcp", "connectTimeout idleTimeout maxConnectionDuration maxConnections tcpKeepalive"},
    {"**.connectionPool.tcp.tcpKeepalive", "interval probes time"},
    {"**.connectionPool.http",
     "h2UpgradePolicy http1MaxPendingRequests http2KeepAlive http2MaxRequests idleTimeout maxConcurrentStreams "
     "maxRequestsPerConnection maxRetries useClientProtocol"},
    {"**.connectionPool.http.http2KeepAlive", "interval timeout"},
    {"**.outlierDetection",
     "baseEjectionTime consecutive5xxErrors consecutiveErrors consecutiveGatewayErrors consecutiveLocalOriginFailures "
     "interval maxEjectionPercent minHealthPercent outlierDetectionHttpErrorCodes splitExternalLocalOriginErrors"},
    {"**.retryBudget", "budgetInterval minRetryConcurrency percent"},
    {"**.tls",
     "caCertificates caCrl clientCertificate credentialName insecureSkipVerify mode privateKey sni subjectAltNames"},
};

constexpr Level kServiceEntry[] = {
    {"", kTop},
    {"spec", "addresses endpoints exportTo hosts location ports resolution subjectAltNames workloadSelector"},
    {"spec.endpoints[]",
     "address labels locality ports weight",
     {{{"network", "the endpoint counts as one of this network"},
       {"serviceAccount", "the endpoint has no identity: connections to it are not the mesh's TLS"}}}},
    {"spec.endpoints[].labels", kAnyKey},
    {"spec.endpoints[].ports", kAnyKey},
    {"spec.ports[]", "name number protocol targetPort"},
    {"spec.workloadSelector", "labels"},
    {"spec.workloadSelector.labels", kAnyKey},
};

constexpr Level kSecret[] = {
    {"", "apiVersion data immutable kind metadata stringData type"},
    {"data", kAnyKey},
    {"stringData", kAnyKey},
};

constexpr std::string_view kParentRef = "group kind name namespace port";
constexpr std::string_view kBackendRef = "filters group kind name namespace port weight";
constexpr std::string_view kNamedText = "name type value";
constexpr std::string_view kNamedLine = "name value";
constexpr std::string_view kModifier = "add remove set";
constexpr std::string_view kModifierFilter = "requestHeaderModifier responseHeaderModifier type";
constexpr std::string_view kNotForOneBackend = "the backend gets requests without it";
constexpr std::string_view kPathModifier = "replaceFullPath replacePrefixMatch type";

constexpr Level kHttpRoute[] = {
    {"", kTop},
    {"spec", "hostnames parentRefs rules", {{{"useDefaultGateways", "the route holds for its parentRefs alone"}}}},
    {"spec.parentRefs[]", kParentRef, {{{"sectionName", "the route holds as it would without it"}}}},
    {"spec.rules[]",
     "backendRefs filters matches name retry timeouts",
     {{{"sessionPersistence", "requests of one session may go to different endpoints"}}}},
    {"spec.rules[].backendRefs[]", kBackendRef},
    {"spec.rules[].backendRefs[].filters[]",
     kModifierFilter,
     {{{"cors", kNotForOneBackend},
       {"extensionRef", kNotForOneBackend},
       {"externalAuth", kNotForOneBackend},
       {"requestMirror", kNotForOneBackend},
       {"requestRedirect", kNotForOneBackend},
       {"urlRewrite", kNotForOneBackend}}}},
    {"spec.rules[].backendRefs[].filters[].requestHeaderModifier", kModifier},
    {"spec.rules[].backendRefs[].filters[].requestHeaderModifier.add[]", kNamedLine},
    {"spec.rules[].backendRefs[].filters[].requestHeaderModifier.set[]", kNamedLine},
    {"spec.rules[].backendRefs[].filters[].responseHeaderModifier", kModifier},
    {"spec.rules[].backendRefs[].filters[].responseHeaderModifier.add[]", kNamedLine},
    {"spec.rules[].backendRefs[].filters[].responseHeaderModifier.set[]", kNamedLine},
    {"spec.rules[].filters[]",
     "cors extensionRef externalAuth requestHeaderModifier requestMirror requestRedirect responseHeaderModifier type "
     "urlRewrite"},
    {"spec.rules[].filters[].cors", "allowCredentials allowHeaders allowMethods allowOrigins exposeHeaders maxAge"},
    {"spec.rules[].filters[].requestHeaderModifier", kModifier},
    {"spec.rules[].filters[].requestHeaderModifier.add[]", kNamedLine},
    {"spec.rules[].filters[].requestHeaderModifier.set[]", kNamedLine},
    {"spec.rules[].filters[].responseHeaderModifier", kModifier},
    {"spec.rules[].filters[].responseHeaderModifier.add[]", kNamedLine},
    {"spec.rules[].filters[].responseHeaderModifier.set[]", kNamedLine},
    {"spec.rules[].filters[].requestMirror", "backendRef fraction percent"},
    {"spec.rules[].filters[].requestMirror.backendRef", "group kind name namespace port"},
    {"spec.rules[].filters[].requestMirror.fraction", "denominator numerator"},
    {"spec.rules[].filters[].requestRedirect", "hostname path port scheme statusCode"},
    {"spec.rules[].filters[].requestRedirect.path", kPathModifier},
    {"spec.rules[].filters[].urlRewrite", "hostname path"},
    {"spec.rules[].filters[].urlRewrite.path", kPathModifier},
    {"spec.rules[].matches[]", "headers method path queryParams"},
    {"spec.rules[].matches[].headers[]", kNamedText},
    {"spec.rules[].matches[].path", "type value"},
    {"spec.rules[].matches[].queryParams[]", kNamedText},
    {"spec.rules[].retry", "attempts backoff codes"},
    {"spec.rules[].timeouts", "backendRequest request"},
};

constexpr Level kGrpcRoute[] = {
    {"", kTop},
    {"spec", "hostnames parentRefs rules", {{{"useDefaultGateways", "the route holds for its parentRefs alone"}}}},
    {"spec.parentRefs[]", kParentRef, {{{"sectionName", "the route holds as it would without it"}}}},
    {"spec.rules[]",
     "backendRefs filters matches name",
     {{{"sessionPersistence", "requests of one session may go to different endpoints"}}}},
    {"spec.rules[].backendRefs[]", kBackendRef},
    {"spec.rules[].filters[]", "extensionRef requestHeaderModifier requestMirror responseHeaderModifier type"},
    {"spec.rules[].filters[].requestHeaderModifier", kModifier},
    {"spec.rules[].filters[].requestHeaderModifier.add[]", kNamedLine},
    {"spec.rules[].filters[].requestHeaderModifier.set[]", kNamedLine},
    {"spec.rules[].filters[].responseHeaderModifier", kModifier},
    {"spec.rules[].filters[].responseHeaderModifier.add[]", kNamedLine},
    {"spec.rules[].filters[].responseHeaderModifier.set[]", kNamedLine},
    {"spec.rules[].matches[]", "headers method"},
    {"spec.rules[].matches[].headers[]", kNamedText},
    {"spec.rules[].matches[].method", "method service type"},
};

constexpr Level kReferenceGrant[] = {
    {"", kTop},
    {"spec", "from to"},
    {"spec.from[]", "group kind namespace"},
    {"spec.to[]", "group kind name"},
};

constexpr std::string_view kLabelSelector = "matchExpressions matchLabels";
constexpr std::string_view kLabelExpression = "key operator values";
constexpr std::string_view kPolicyPort = "endPort port protocol";
constexpr std::string_view kPolicyPeer = "ipBlock namespaceSelector podSelector";
constexpr std::string_view kIpBlock = "cidr except";

constexpr Level kNetworkPolicy[] = {
    {"", kTop},
    {"spec", "egress ingress podSelector policyTypes"},
    {"spec.podSelector", kLabelSelector},
    {"spec.podSelector.matchExpressions[]", kLabelExpression},
    {"spec.podSelector.matchLabels", kAnyKey},
    {"spec.ingress[]", "from ports"},
    {"spec.ingress[].ports[]", kPolicyPort},
    {"spec.ingress[].from[]", kPolicyPeer},
    {"spec.ingress[].from[].ipBlock", kIpBlock},
    {"spec.ingress[].from[].namespaceSelector", kLabelSelector},
    {"spec.ingress[].from[].namespaceSelector.matchExpressions[]", kLabelExpression},
    {"spec.ingress[].from[].namespaceSelector.matchLabels", kAnyKey},
    {"spec.ingress[].from[].podSelector", kLabelSelector},
    {"spec.ingress[].from[].podSelector.matchExpressions[]", kLabelExpression},
    {"spec.ingress[].from[].podSelector.matchLabels", kAnyKey},
    {"spec.egress[]", "ports to"},
    {"spec.egress[].ports[]", kPolicyPort},
    {"spec.egress[].to[]", kPolicyPeer},
    {"spec.egress[].to[].ipBlock", kIpBlock},
    {"spec.egress[].to[].namespaceSelector", kLabelSelector},
    {"spec.egress[].to[].namespaceSelector.matchExpressions[]", kLabelExpression},
    {"spec.egress[].to[].namespaceSelector.matchLabels", kAnyKey},
    {"spec.egress[].to[].podSelector", kLabelSelector},
    {"spec.egress[].to[].podSelector.matchExpressions[]", kLabelExpression},
    {"spec.egress[].to[].podSelector.matchLabels", kAnyKey},
};

constexpr Level kMesh[] = {
    {"", kTop},
    {"spec",
     "accessLog certificateLifetime connectTimeout drainTimeout noProxyTimeout reasonHeader retries rootNamespace "
     "sameNode sandboxedRuntimes tracing trustDomain"},
    {"spec.retries", kRetries},
    {"spec.tracing", "compression headers otlp samplingPercentage"},
    {"spec.tracing.headers", kAnyKey},
    {"spec.accessLog", "enabled encoding format linesPerSecond"},
};

constexpr std::string_view kTelemetryMatch = "mode";

constexpr Level kTelemetry[] = {
    {"", kTop},
    {"spec",
     "accessLogging selector tracing",
     {{{"metrics", "all metrics are there, with their own labels"},
       {"targetRef", "`selector` alone says for which pods it holds"},
       {"targetRefs", "`selector` alone says for which pods it holds"}}}},
    {"spec.selector", "matchLabels"},
    {"spec.selector.matchLabels", kAnyKey},
    {"spec.tracing[]",
     "customTags disableSpanReporting match providers randomSamplingPercentage",
     {{{"enableIstioTags", "spans have Leat's tags"}, {"useRequestIdForTraceSampling", "the trace id decides"}}}},
    {"spec.tracing[].match", kTelemetryMatch},
    {"spec.tracing[].providers[]", "name"},
    {"spec.tracing[].customTags", kAnyKey},
    {"spec.tracing[].customTags.*", "environment header literal", {{{"formatter", "the tag is left out"}}}},
    {"spec.tracing[].customTags.*.environment", "defaultValue name"},
    {"spec.tracing[].customTags.*.header", "defaultValue name"},
    {"spec.tracing[].customTags.*.literal", "value"},
    {"spec.accessLogging[]", "disabled filter match providers"},
    {"spec.accessLogging[].match", kTelemetryMatch},
    {"spec.accessLogging[].providers[]", "name"},
    {"spec.accessLogging[].filter", "expression"},
};

struct KindLevels {
  std::string_view kind;
  std::span<const Level> levels;
};
constexpr KindLevels kKinds[] = {
    {Namespace::kKind, kNamespaceOrNode},     {Node::kKind, kNamespaceOrNode},
    {RuntimeClass::kKind, kRuntimeClass},     {Pod::kKind, kPod},
    {NodeWorkloads::kKind, kNodeWorkloads},   {Service::kKind, kService},
    {EndpointSlice::kKind, kEndpointSlice},   {PeerAuthentication::kKind, kPeerAuthentication},
    {VirtualService::kKind, kVirtualService}, {DestinationRule::kKind, kDestinationRule},
    {ServiceEntry::kKind, kServiceEntry},     {Secret::kKind, kSecret},
    {GatewayHttpRoute::kKind, kHttpRoute},    {GatewayGrpcRoute::kKind, kGrpcRoute},
    {ReferenceGrant::kKind, kReferenceGrant}, {NetworkPolicy::kKind, kNetworkPolicy},
    {Telemetry::kKind, kTelemetry},           {Mesh::kKind, kMesh},
};

std::vector<std::string_view> split_words(std::string_view words) {
  std::vector<std::string_view> all;
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    all.push_back(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return all;
}

// Edits (insert, delete, replace a letter) from one word to the other.
size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<size_t> row(to.size() + 1);
  for (size_t j = 0; j <= to.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= from.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= to.size(); ++j) {
      const size_t replaced = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row.back();
}

std::string unknown_field(std::string_view name, const std::vector<std::string_view>& known) {
  const auto nearest =
      std::ranges::min_element(known, {}, [&](std::string_view one) { return edit_distance(name, one); });
  if (nearest != known.end() && edit_distance(name, *nearest) <= 2)
    return fmt::format("unknown field, ignored; did you mean '{}'?", *nearest);
  return "unknown field, ignored";
}

bool stands_at(std::string_view place, std::string_view path) {
  constexpr std::string_view kAnywhere = "**";
  return place.starts_with(kAnywhere) ? path.ends_with(place.substr(kAnywhere.size())) : path == place;
}

class Walk {
 public:
  explicit Walk(std::string_view kind) : levels_(std::ranges::find(kKinds, kind, &KindLevels::kind)->levels) {}

  void visit(const Field& field, const std::string& path) const {
    if (!field.present()) return;
    if (field.is_list()) {
      if (!reaches(path + "[]")) return;
      for (const Field& item : field.items()) visit(item, path + "[]");
    } else if (field.is_map()) {
      visit_mapping(field, path);
    }
  }

 private:
  void visit_mapping(const Field& mapping, const std::string& path) const {
    const Level* level = find(path);
    if (level == nullptr) return;
    const bool any_key = level->fields == kAnyKey;
    std::vector<std::string_view> known = split_words(level->fields);
    for (const NotYet& one : level->not_yet) {
      if (!one.field.empty()) known.push_back(one.field);
    }
    std::set<std::string> seen;
    for (const auto& [name, below] : mapping.entries()) {
      if (!seen.insert(name).second) below.error("given twice; the first one counts");
      if (!any_key && std::ranges::find(known, name) == known.end()) {
        below.error(unknown_field(name, known));
        continue;
      }
      const auto not_yet = std::ranges::find(level->not_yet, name, &NotYet::field);
      if (not_yet != level->not_yet.end()) {
        if (below.present()) below.warn(fmt::format("not supported, ignored: {}", not_yet->instead));
        continue;
      }
      const std::string_view step = any_key ? kAnyKey : std::string_view(name);
      visit(below, path.empty() ? std::string(step) : fmt::format("{}.{}", path, step));
    }
  }

  [[nodiscard]] const Level* find(std::string_view path) const {
    for (const auto levels : {levels_, std::span<const Level>(kMetadata)}) {
      const auto found = std::ranges::find_if(levels, [&](const Level& level) { return stands_at(level.path, path); });
      if (found != levels.end()) return &*found;
    }
    return nullptr;
  }
  [[nodiscard]] bool reaches(std::string_view path) const { return find(path) != nullptr; }

  std::span<const Level> levels_;
};

}  // namespace

void check_known_fields(std::string_view kind, const Field& root) { Walk(kind).visit(root, ""); }

}  // namespace leat::control
