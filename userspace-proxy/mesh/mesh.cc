#include "userspace-proxy/mesh/mesh.h"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>

#include <fmt/format.h>

#include "bpf/alias.h"
#include "userspace-proxy/mesh/alias.h"
#include "userspace-proxy/tls/origin.h"

namespace leat::proxy {
namespace {

using Problems = std::vector<std::string>;

std::optional<uint16_t> port_of(uint32_t value) {
  if (value == 0 || value > 65535) return std::nullopt;
  return static_cast<uint16_t>(value);
}

std::vector<IpAddress> addresses_of(const v1::Workload& message, Problems* problems) {
  std::vector<IpAddress> addresses;
  for (const std::string& bytes : message.addresses()) {
    if (const auto address = IpAddress::from_wire(bytes)) {
      addresses.push_back(*address);
    } else {
      problems->push_back(
          fmt::format("workload {}/{}: an address of {} bytes", message.namespace_(), message.name(), bytes.size()));
    }
  }
  return addresses;
}

std::string label(const v1::Workload& message, const char* key) {
  const auto found = message.labels().find(key);
  return found == message.labels().end() ? "" : found->second;
}

std::unique_ptr<const WorkloadTelemetry> telemetry_of(const v1::Workload& message, Problems* problems) {
  if (!message.has_telemetry()) return nullptr;
  const v1::Telemetry& said = message.telemetry();
  auto telemetry = std::make_unique<WorkloadTelemetry>();
  if (said.has_sampling_percent()) telemetry->sampling_percent = said.sampling_percent();
  telemetry->tracing_disabled = said.tracing_disabled();
  telemetry->tags.assign(said.tags().begin(), said.tags().end());
  if (said.has_access_log()) telemetry->access_log = said.access_log();
  if (said.access_log_filter().empty()) return telemetry;
  if (auto filter = AccessFilter::compile(said.access_log_filter())) {
    telemetry->filter.emplace(std::move(*filter));
  } else {
    problems->push_back(fmt::format("workload {}/{}: its access log's filter: {}; it is not logged",
                                    message.namespace_(), message.name(), filter.error().message));
    telemetry->access_log = false;
  }
  return telemetry;
}

bool is_in(const v1::Endpoint& endpoint, std::optional<uint32_t> subset) {
  return !subset || std::ranges::find(endpoint.subsets(), *subset) != endpoint.subsets().end();
}

constexpr uint32_t kNoGroup = 0xffffffff;
constexpr uint32_t kMostGroups = 1000;  // the agent makes as many as there are labels or shares

uint32_t group_of(const Policy* policy, size_t endpoint) {
  const uint32_t group = policy && endpoint < policy->group_of.size() ? policy->group_of[endpoint] : 0;
  return group < kMostGroups ? group : kNoGroup;
}

// What is known of the endpoints of `port` from the generation before.
class Former {
 public:
  Former(const Service* service, const Service::Port& port)
      : port_(service ? service->find_port(port.port, port.ipv6, port.subset) : nullptr) {
    if (!port_) return;
    for (const Backend& backend : port_->backends) {
      if (backend.health) healths_.emplace(backend.target, backend.health);
    }
  }

  [[nodiscard]] Ref<const HostHealth> health(const SocketAddress& target) const {
    const auto known = healths_.find(target);
    return known != healths_.end() ? known->second : make_ref<HostHealth>();
  }
  [[nodiscard]] Ref<const LivePool> live() const { return port_ && port_->live ? port_->live : make_ref<LivePool>(); }

 private:
  const Service::Port* port_;
  std::unordered_map<SocketAddress, Ref<const HostHealth>> healths_;
};

// The ready backends of `port`, of one subset or all, by address family: an endpoint that names no target for this port
// does not serve it.
std::array<Service::Port, 2> ports_of_service(const v1::Service& message, std::string_view key,
                                              const Service::Port& like, std::optional<uint32_t> subset,
                                              const Service* former, Problems* problems) {
  std::array<Service::Port, 2> families{like, like};
  families[1].ipv6 = true;
  const std::array<Former, 2> formers{Former(former, families[0]), Former(former, families[1])};
  const Policy* policy = like.policy.get();
  if (policy) families[0].live = families[1].live = formers[0].live();
  for (int i = 0; i < message.endpoints_size(); ++i) {
    const v1::Endpoint& endpoint = message.endpoints(i);
    const uint32_t group = group_of(policy, static_cast<size_t>(i));
    if (!endpoint.ready() || !is_in(endpoint, subset) || group == kNoGroup) continue;
    const auto mapping = std::ranges::find(endpoint.ports(), like.port, &v1::EndpointPort::service_port);
    if (mapping == endpoint.ports().end()) continue;
    const auto address = IpAddress::from_wire(endpoint.address());
    const auto target = port_of(mapping->target_port());
    if (!address || !target) {
      problems->push_back(
          fmt::format("service {}: an endpoint of port {} has a wrong address or target port", key, like.port));
      continue;
    }
    const uint32_t weight = std::max(endpoint.weight(), 1u);
    Service::Port& family = families[address->is_v4() ? 0 : 1];
    family.max_weight = std::max(family.max_weight, weight);
    Backend& backend = family.backends.emplace_back();
    backend = {.target = {*address, *target}, .uid = endpoint.workload_uid(), .weight = weight, .group = group};
    if (!policy) continue;
    backend.policy = like.policy;
    if (policy->outliers || policy->warmup) backend.health = formers[family.ipv6 ? 1 : 0].health(backend.target);
  }
  return families;
}

using Secrets = std::map<std::string, Ref<const Secret>, std::less<>>;

tls::Origin::Settings read(const v1::TlsOrigination& message, const Secrets& secrets) {
  tls::Origin::Settings settings{
      .sni = message.sni(),
      .subject_alt_names = {message.subject_alt_names().begin(), message.subject_alt_names().end()},
      .roots = {.name = message.ca_file(), .text = {}},
      .certificate = {.name = message.certificate_file(), .text = {}},
      .key = {.name = message.key_file(), .text = {}},
      .crl = {.name = message.crl_file(), .text = {}},
      .missing = {},
      .skip_verify = message.skip_verify()};
  if (message.secret().empty()) return settings;
  const auto secret = secrets.find(message.secret());
  if (secret == secrets.end()) {
    settings.missing = fmt::format("there is no {}", message.secret().substr(0, message.secret().find('@')));
    return settings;
  }
  const auto take = [&](tls::Origin::Pem& pem, const std::string& text) {
    pem.text = text;
    if (pem.name.empty()) pem.name = message.secret().substr(0, message.secret().find('@'));
  };
  take(settings.roots, secret->second->pem.ca());
  take(settings.certificate, secret->second->pem.certificate());
  take(settings.key, secret->second->pem.private_key());
  take(settings.crl, secret->second->pem.crl());
  return settings;
}

// One that has been made already, with what it has read, stays.
std::shared_ptr<const tls::Origin> origin_of(const v1::TlsOrigination& message, const Secrets& secrets,
                                             const Service* former) {
  tls::Origin::Settings settings = read(message, secrets);
  if (former) {
    for (const Service::Port& port : former->ports) {
      if (port.policy && port.policy->origin && port.policy->origin->settings() == settings) return port.policy->origin;
    }
  }
  return std::make_shared<tls::Origin>(std::move(settings));
}

std::vector<Ref<const Policy>> read_policies(const v1::Service& message, const Secrets& secrets,
                                             const Service* former) {
  std::vector<Ref<const Policy>> policies;
  for (const v1::TrafficPolicy& policy : message.policies()) {
    auto read = std::make_unique<Policy>(policy);
    if (policy.tls() == v1::UPSTREAM_TLS_ORIGINATE) read->origin = origin_of(policy.origination(), secrets, former);
    policies.emplace_back(read.release());
  }
  return policies;
}

// All ports of the whole Service, or of one subset.
void add_ports(const v1::Service& message, std::optional<uint32_t> subset,
               const std::vector<Ref<const Policy>>& policies, const Service* former, Service& service,
               Problems* problems) {
  for (const v1::ServicePort& declared : message.ports()) {
    const auto port = port_of(declared.port());
    if (!port) {
      problems->push_back(fmt::format("service {}: port {} is out of range", service.key, declared.port()));
      continue;
    }
    Service::Port like{.port = *port, .protocol = declared.protocol()};
    uint32_t policy = declared.policy();
    if (subset) {
      const v1::Subset& part = message.subsets(static_cast<int>(*subset));
      like.subset = part.name();
      const auto own = part.policies().find(declared.port());
      if (own != part.policies().end()) policy = own->second;
    }
    if (policy > policies.size())
      problems->push_back(fmt::format("service {}: port {} has a policy that is not there", service.key, *port));
    else if (policy > 0)
      like.policy = policies[policy - 1];
    like.id = std::hash<std::string>()(fmt::format("{}:{}/{} {}", service.key, *port, like.subset, service.rule));
    for (Service::Port& family : ports_of_service(message, service.key, like, subset, former, problems))
      service.ports.push_back(std::move(family));
  }
}

// What a DestinationRule is about. What lives on of it is taken over from `former`, which may be null.
void add_endpoints(const v1::Service& message, const Secrets& secrets, const Service* former, Service& service,
                   Problems* problems) {
  const auto policies = read_policies(message, secrets, former);
  add_ports(message, std::nullopt, policies, former, service, problems);
  for (int subset = 0; subset < message.subsets_size(); ++subset) {
    service.subsets.push_back(message.subsets(subset).name());
    add_ports(message, subset, policies, former, service, problems);
  }
}

const Service* made_by(const std::string& rule, const Service* service) {
  if (!service) return nullptr;
  const auto same = std::ranges::find_if(service->client_rules,
                                         [&](const Service::ClientRule& each) { return each.service->rule == rule; });
  return same == service->client_rules.end() ? nullptr : same->service.get();
}

bool holds_for(const Service::ClientRule& rule, const route::Client& client) {
  return std::ranges::binary_search(rule.namespaces, client.namespace_) &&
         std::ranges::all_of(rule.labels, [&](const auto& label) {
           const auto found = client.labels.find(label.first);
           return found != client.labels.end() && found->second == label.second;
         });
}

void group_backends(Service::Port& port) {
  uint32_t last = 0;
  for (const Backend& backend : port.backends) last = std::max(last, backend.group);
  port.group_ends.assign(std::max<size_t>(last + 1, port.policy->shares.size()), 0);
  for (const Backend& backend : port.backends) ++port.group_ends[backend.group];
  // Where the next of each group goes: in a group they keep their order.
  std::vector<uint32_t> places(port.group_ends.size());
  std::exclusive_scan(port.group_ends.begin(), port.group_ends.end(), places.begin(), 0u);
  std::partial_sum(port.group_ends.begin(), port.group_ends.end(), port.group_ends.begin());
  std::vector<Backend> grouped(port.backends.size());
  for (Backend& backend : port.backends) grouped[places[backend.group]++] = std::move(backend);
  port.backends = std::move(grouped);
}

std::vector<Ref<const HashTable>> hash_tables_of(const Service::Port& port) {
  std::vector<Ref<const HashTable>> tables;
  const Policy::Hash& hash = *port.policy->hash;
  for (size_t group = 0; group < port.groups(); ++group) {
    std::vector<HashTable::Host> hosts;
    for (const Backend& backend : port.group(group)) hosts.push_back({hash_of(backend.target.text()), backend.weight});
    const size_t size = hash.table_size != 0 ? hash.table_size
                        : hash.maglev        ? HashTable::kMaglevEntries
                                             : HashTable::kRingPoints;
    tables.push_back(make_ref<HashTable>(hash.maglev ? HashTable::maglev(hosts, size) : HashTable::ring(hosts, size)));
  }
  return tables;
}

}  // namespace

v1::MtlsMode Workload::mtls_at(uint16_t port) const {
  const auto own = std::ranges::find(port_mtls, port, &std::pair<uint16_t, v1::MtlsMode>::first);
  return own == port_mtls.end() ? mtls : own->second;
}

bool Workload::has_address(const IpAddress& address) const {
  return std::ranges::find(addresses, address) != addresses.end();
}

const Service::Port* Service::find_port(uint16_t port, bool ipv6, std::string_view subset) const {
  const auto found = std::ranges::find_if(
      ports, [&](const Port& each) { return each.port == port && each.ipv6 == ipv6 && each.subset == subset; });
  return found == ports.end() ? nullptr : &*found;
}

bool Service::is_visible_to(std::string_view client_namespace) const {
  return visible_to.empty() || std::ranges::binary_search(visible_to, client_namespace);
}

ServiceRef for_client(ServiceRef service, const route::Client& client) {
  if (!service) return service;
  for (const Service::ClientRule& rule : service->client_rules) {
    if (holds_for(rule, client)) return rule.service;
  }
  return service;
}

ServiceRef Destination::service_of(std::string_view host, uint16_t port) const {
  if (others.empty()) return service;
  ServiceRef best;
  const auto consider = [&](const ServiceRef& each) {
    if (!each || !route::covers_host(each->name, host) || !each->find_port(port, !address.is_v4())) return;
    const bool exact = each->name == host;
    if (!best || exact || (best->name != host && each->name.size() > best->name.size())) best = each;
  };
  consider(service);
  for (const ServiceRef& each : others) consider(each);
  return best;
}

v1::Protocol Destination::protocol_at(uint16_t port) const {
  std::optional<v1::Protocol> protocol;
  const auto consider = [&](const ServiceRef& each) {
    const Service::Port* found = each ? each->find_port(port, !address.is_v4()) : nullptr;
    if (!found) return;
    protocol = !protocol || *protocol == found->protocol ? found->protocol : v1::PROTOCOL_DETECT;
  };
  consider(service);
  for (const ServiceRef& each : others) consider(each);
  return protocol.value_or(v1::PROTOCOL_TCP);
}

bool Service::has_subset(std::string_view subset) const { return std::ranges::find(subsets, subset) != subsets.end(); }

MeshRef Mesh::build(v1::Mesh mesh, Problems* problems) {
  v1::MeshChange everything;
  everything.mutable_settings()->Swap(mesh.mutable_settings());
  everything.mutable_workloads()->Swap(mesh.mutable_workloads());
  everything.mutable_services()->Swap(mesh.mutable_services());
  everything.mutable_aliases()->Swap(mesh.mutable_aliases());
  everything.mutable_tls_secrets()->Swap(mesh.mutable_tls_secrets());
  return apply(Mesh(), everything, problems);
}

MeshRef Mesh::apply(const Mesh& base, const v1::MeshChange& change, Problems* problems) {
  auto next = std::make_unique<Mesh>(base);
  if (change.has_settings()) {
    next->settings_ = change.settings();
    next->retries_ = change.settings().has_retries() ? RetryPolicy(change.settings().retries()) : RetryPolicy();
  }

  std::set<std::string, std::less<>> touched(change.removed_workloads().begin(), change.removed_workloads().end());
  for (const std::string& uid : change.removed_workloads()) next->remove_workload(uid);
  for (const v1::Workload& workload : change.workloads()) {
    next->upsert_workload(workload, problems);
    touched.insert(workload.uid());
  }
  for (const std::string& key : change.removed_services()) next->services_.erase(key);
  if (!touched.empty()) next->relink_services_of(touched);
  for (const std::string& key : change.removed_tls_secrets()) next->secrets_.erase(key);
  for (const v1::TlsSecret& secret : change.tls_secrets())
    next->secrets_.insert_or_assign(secret.key(), make_ref<Secret>(secret));
  for (const v1::Service& service : change.services()) next->upsert_service(service, problems);
  for (const uint32_t id : change.removed_aliases()) next->remove_alias(id);
  for (const v1::Alias& alias : change.aliases()) next->upsert_alias(alias, problems);
  return MeshRef(next.release());
}

void Mesh::upsert_workload(const v1::Workload& message, Problems* problems) {
  if (message.uid().empty()) {
    problems->push_back(fmt::format("workload {}/{} has no uid", message.namespace_(), message.name()));
    return;
  }
  remove_workload(message.uid());
  auto workload = std::make_unique<Workload>();
  workload->uid = message.uid();
  workload->namespace_ = message.namespace_();
  workload->name = message.name();
  workload->service_account = message.service_account();
  workload->owner = message.owner().empty() ? message.name() : message.owner();
  workload->app = label(message, "app");
  workload->version = label(message, "version");
  if (message.local()) workload->labels.insert(message.labels().begin(), message.labels().end());
  workload->addresses = addresses_of(message, problems);
  workload->captured = message.captured();
  workload->local = message.local();
  workload->ready = message.ready();
  workload->terminating = message.terminating();
  workload->mtls = message.mtls();
  for (const auto& [port, mode] : message.port_mtls()) {
    if (const auto valid = port_of(port)) workload->port_mtls.emplace_back(*valid, mode);
  }
  workload->telemetry = telemetry_of(message, problems);
  const WorkloadRef shared(workload.release());
  for (const IpAddress& address : shared->addresses) by_address_.put(address, shared);
  workloads_.put(shared->uid, shared);
  if (shared->local && shared->captured) local_.put(shared->uid, shared);
}

void Mesh::remove_workload(std::string_view uid) {
  const WorkloadRef old = workload(uid);
  if (!old) return;
  for (const IpAddress& address : old->addresses) {
    if (workload_at(address) == old) by_address_.erase(address);  // a successor may have the address by now
  }
  workloads_.erase(uid);
  local_.erase(uid);
}

void Mesh::upsert_service(const v1::Service& message, Problems* problems) {
  auto service = std::make_unique<Service>();
  service->key = fmt::format("{}/{}", message.namespace_(), message.name());
  service->namespace_ = message.namespace_();
  service->name = message.name();
  service->external = message.external();
  service->visible_to.assign(message.visible_to().begin(), message.visible_to().end());
  if (!message.route_tables().empty()) service->routes = make_ref<Routes>(route::compile_tables(message, problems));
  const ServiceRef former = this->service(service->key);
  std::vector<Service::ClientRule> client_rules;
  for (const v1::ClientRule& rule : message.client_rules()) {
    auto made = std::make_unique<Service>(*service);
    made->rule = rule.rule();
    add_endpoints(rule.service(), secrets_, made_by(rule.rule(), former.get()), *made, problems);
    link(*made);
    client_rules.push_back({.namespaces = {rule.namespaces().begin(), rule.namespaces().end()},
                            .labels = {rule.labels().begin(), rule.labels().end()},
                            .service = ServiceRef(made.release())});
  }
  service->client_rules = std::move(client_rules);
  add_endpoints(message, secrets_, former.get(), *service, problems);
  link(*service);
  const std::string key = service->key;
  services_.put(key, ServiceRef(service.release()));
}

void Mesh::link(Service& service) const {
  const auto is_remote = [](const Backend& backend) {
    return !backend.workload || !backend.workload->local || !backend.workload->captured;
  };
  for (Service::Port& port : service.ports) {
    for (Backend& backend : port.backends) backend.workload = workload(backend.uid);
    const auto locals = std::ranges::partition(port.backends, is_remote);
    port.remote = port.backends.size() - locals.size();
    if (port.policy && !port.policy->group_of.empty()) group_backends(port);
    if (port.policy && port.policy->hash) port.tables = hash_tables_of(port);
  }
}

void Mesh::relink_services_of(const std::set<std::string, std::less<>>& workloads) {
  const auto has_one = [&](const Service::Port& port) {
    return std::ranges::any_of(port.backends, [&](const Backend& backend) { return workloads.contains(backend.uid); });
  };
  const auto refers = [&](const Service& service) { return std::ranges::any_of(service.ports, has_one); };
  std::vector<ServiceRef> affected;
  services_.for_each([&](const std::string&, const ServiceRef& service) {
    if (refers(*service) || std::ranges::any_of(service->client_rules, refers,
                                                [](const auto& rule) -> const Service& { return *rule.service; }))
      affected.push_back(service);
  });
  const auto linked = [&](const Service& service) {
    auto copy = std::make_unique<Service>(service);
    link(*copy);
    for (Service::ClientRule& rule : copy->client_rules) {
      auto made = std::make_unique<Service>(*rule.service);
      link(*made);
      rule.service = ServiceRef(made.release());
    }
    return ServiceRef(copy.release());
  };
  for (const ServiceRef& service : affected) services_.put(service->key, linked(*service));
}

void Mesh::upsert_alias(const v1::Alias& message, Problems* problems) {
  const auto address = IpAddress::from_wire(message.address());
  if (!address || message.id() > LEAT_ALIAS_ID_MAX) {
    problems->push_back(fmt::format("alias {} has an address of {} bytes or an id out of range", message.id(),
                                    message.address().size()));
    return;
  }
  remove_alias(message.id());
  Alias alias{.address = *address, .remote_only = message.remote_only()};
  if (message.target_case() == v1::Alias::kWorkloadUid) {
    alias.target = Target::kWorkload;
    alias.key = message.workload_uid();
  } else if (message.target_case() == v1::Alias::kService) {
    alias.target = Target::kService;
    alias.key = message.service();
    alias.others.assign(message.other_services().begin(), message.other_services().end());
  }
  if (!alias.remote_only) alias_by_address_.put(*address, message.id());
  aliases_.put(message.id(), std::move(alias));
}

void Mesh::remove_alias(uint32_t id) {
  const Alias* old = aliases_.find(id);
  if (old == nullptr) return;
  if (alias_of(old->address) == id) alias_by_address_.erase(old->address);
  aliases_.erase(id);
}

WorkloadRef Mesh::workload(std::string_view uid) const {
  const auto* found = workloads_.find(uid);
  return found ? *found : nullptr;
}

WorkloadRef Mesh::workload_at(const IpAddress& address) const {
  const auto* found = by_address_.find(address);
  return found ? *found : nullptr;
}

ServiceRef Mesh::service(std::string_view key) const {
  const auto* found = services_.find(key);
  return found ? *found : nullptr;
}

RouteTarget Mesh::resolve(const route::Destination& destination, uint16_t requested_port, bool ipv6,
                          const route::Client& client) const {
  using Missing = RouteTarget::Missing;
  RouteTarget target{.service = for_client(service(destination.service), client)};
  if (!target.service) return target;
  target.missing = Missing::kSubset;
  if (!destination.subset.empty() && !target.service->has_subset(destination.subset)) return target;
  const uint16_t port = destination.port != 0 ? destination.port : requested_port;
  target.port = target.service->find_port(port, ipv6, destination.subset);
  target.missing = target.port ? Missing::kNothing : Missing::kPort;
  return target;
}

std::optional<Destination> Mesh::destination(const IpAddress& local) const {
  const auto id = destination_id(local);
  if (!id) return std::nullopt;
  const Alias* alias = aliases_.find(*id);
  if (alias == nullptr || alias->target == Target::kNone) return std::nullopt;
  Destination destination{.address = alias->address, .remote_only = alias->remote_only};
  if (alias->target == Target::kWorkload) destination.workload = workload(alias->key);
  if (alias->target == Target::kService) destination.service = service(alias->key);
  for (const std::string& other : alias->others) {
    if (ServiceRef shared = service(other)) destination.others.push_back(std::move(shared));
  }
  return destination;
}

std::optional<uint32_t> Mesh::alias_of(const IpAddress& address) const {
  const uint32_t* found = alias_by_address_.find(address);
  return found ? std::optional(*found) : std::nullopt;
}

std::set<std::pair<std::string, std::string>> Mesh::local_service_accounts() const {
  std::set<std::pair<std::string, std::string>> accounts;
  local_.for_each([&](const std::string&, const WorkloadRef& workload) {
    accounts.emplace(workload->namespace_, workload->service_account);
  });
  return accounts;
}

}  // namespace leat::proxy
