#include "agent/resolver.h"

#include <ares.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <functional>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/limits.h"
#include "common/log.h"

namespace leat::agent {
namespace {

std::optional<IpAddress> address_of(const ares_addrinfo_node& node) {
  sockaddr_storage storage{};
  const size_t size = std::min<size_t>(node.ai_addrlen, sizeof storage);
  std::copy_n(reinterpret_cast<const char*>(node.ai_addr), size, reinterpret_cast<char*>(&storage));
  const auto address = SocketAddress::from_sockaddr(storage);
  return address ? std::optional(address->ip) : std::nullopt;
}

// Whether the servers have said that there is nothing, as opposed to having said nothing.
bool is_negative(int status) { return status == ARES_ENOTFOUND || status == ARES_ENODATA; }

// What is still there keeps its place, so that one address goes on being the first.
std::vector<IpAddress> in_former_order(const std::vector<IpAddress>& former, const std::vector<IpAddress>& now) {
  const auto is_in = [](const std::vector<IpAddress>& list) {
    return [&list](const IpAddress& address) { return std::ranges::find(list, address) != list.end(); };
  };
  std::vector<IpAddress> ordered;
  std::ranges::copy_if(former, std::back_inserter(ordered), is_in(now));
  std::ranges::copy_if(now, std::back_inserter(ordered), std::not_fn(is_in(former)));
  return ordered;
}

}  // namespace

Result<std::unique_ptr<Resolver>> Resolver::open(EventLoop& loop, const std::vector<std::string>& servers,
                                                 Changed changed) {
  if (const int status = ares_library_init(ARES_LIB_INIT_ALL); status != ARES_SUCCESS)
    return fail(ErrorCode::kSystem, "the resolver can't start: {}", ares_strerror(status));
  std::unique_ptr<Resolver> resolver(new Resolver(loop, std::move(changed)));
  ares_options options{};
  options.sock_state_cb = [](void* self, ares_socket_t fd, int reads, int writes) {
    static_cast<Resolver*>(self)->on_socket(fd, reads != 0, writes != 0);
  };
  options.sock_state_cb_data = resolver.get();
  options.timeout = static_cast<int>(limits::kDnsTimeout.count());
  options.tries = limits::kDnsTries;
  std::string lookups = "b";  // DNS alone: what a file of the node says is not what pods are told
  options.lookups = lookups.data();
  const int mask = ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS;
  if (const int status = ares_init_options(&resolver->channel_, &options, mask); status != ARES_SUCCESS)
    return fail(ErrorCode::kSystem, "the resolver can't start: {}", ares_strerror(status));
  if (!servers.empty()) {
    const std::string list = fmt::format("{}", fmt::join(servers, ","));
    if (const int status = ares_set_servers_ports_csv(resolver->channel_, list.c_str()); status != ARES_SUCCESS)
      return fail(ErrorCode::kInvalid, "dns.servers {}: {}", list, ares_strerror(status));
  }
  return resolver;
}

Resolver::~Resolver() {
  closing_ = true;
  for (auto& [name, host] : hosts_) loop_.cancel(host.timer);
  loop_.cancel(timeout_);
  if (channel_ != nullptr) ares_destroy(channel_);  // ends the open questions
  for (const int fd : sockets_) loop_.forget(fd);
  ares_library_cleanup();
}

std::vector<std::string> Resolver::want(const std::set<std::string>& hosts) {
  std::vector<std::string> forgotten;
  for (auto& [name, host] : hosts_) {
    if (hosts.contains(name) || !std::exchange(host.wanted, false)) continue;
    loop_.cancel(std::exchange(host.timer, 0));
    forgotten.push_back(name);
  }
  std::erase_if(hosts_, [](const auto& entry) { return !entry.second.wanted && !entry.second.asking; });
  for (const std::string& name : hosts) {
    const auto [host, added] = hosts_.try_emplace(name);
    if (!added && std::exchange(host->second.wanted, true)) continue;
    host->second.answer = {.meta = {.name = {"", name}}, .addresses = {}, .problem = {}};
    ask_later(host->second, std::chrono::milliseconds(0));
  }
  return forgotten;
}

void Resolver::ask_later(Host& host, std::chrono::milliseconds delay) {
  loop_.cancel(host.timer);
  host.timer = loop_.after(delay, [this, name = host.answer.meta.name.name] {
    hosts_.at(name).timer = 0;
    ask(name);
  });
}

void Resolver::ask(const std::string& name) {
  Host& host = hosts_.at(name);
  if (std::exchange(host.asking, true)) return;
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;  // else each address comes once for each type
  hints.ai_flags = ARES_AI_NOSORT;
  // The dot ends the name: the node's search list is for the node's own programs.
  ares_getaddrinfo(channel_, (name + ".").c_str(), nullptr, &hints, &Resolver::on_answer, new Question{this, name});
  arm_timeout();
}

void Resolver::on_answer(void* question, int status, int, ares_addrinfo* found) {
  const std::unique_ptr<Question> asked(static_cast<Question*>(question));
  const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owned(found, &ares_freeaddrinfo);
  if (!asked->resolver->closing_) asked->resolver->answered(asked->host, status, found);
}

void Resolver::answered(const std::string& name, int status, const ares_addrinfo* found) {
  const auto entry = hosts_.find(name);
  if (entry == hosts_.end()) return;
  Host& host = entry->second;
  host.asking = false;
  if (!host.wanted) {
    hosts_.erase(entry);
    return;
  }
  std::vector<IpAddress> addresses;
  std::chrono::seconds lifetime = limits::kDnsLongest;
  for (const ares_addrinfo_node* node = found != nullptr ? found->nodes : nullptr; node != nullptr;
       node = node->ai_next) {
    const auto address = address_of(*node);
    if (!address || std::ranges::find(addresses, *address) != addresses.end()) continue;
    if (addresses.size() < limits::kDnsAddresses) addresses.push_back(*address);
    lifetime = std::min(lifetime, std::chrono::seconds(std::max(node->ai_ttl, 0)));
  }
  const bool good = status == ARES_SUCCESS && !addresses.empty();
  if (good || is_negative(status)) {
    host.failures = 0;
    host.problem = good ? "" : "there is no such host";
    ask_later(host, std::max<std::chrono::milliseconds>(good ? lifetime : limits::kDnsNegative, limits::kDnsShortest));
  } else {
    host.problem = fmt::format("the resolver gave no answer ({})", ares_strerror(status));
    const auto delay = limits::kDnsRetry * (1u << std::min(host.failures++, 5u));
    ask_later(host, delay);
    if (host.failures == 1) log::warn("{}: {}; what was known of it holds", name, host.problem);
  }
  addresses = in_former_order(host.answer.addresses, addresses);
  const bool keeps = !good && !is_negative(status) && !host.answer.addresses.empty();
  if (keeps || (addresses == host.answer.addresses && (good || host.answer.problem == host.problem))) return;
  host.answer.addresses = std::move(addresses);
  host.answer.problem = host.problem;
  changed_(host.answer);
}

void Resolver::on_socket(int fd, bool reads, bool writes) {
  const uint32_t events = (reads ? uint32_t{EPOLLIN} : 0) | (writes ? uint32_t{EPOLLOUT} : 0);
  if (events == 0) {
    if (sockets_.erase(fd) > 0) loop_.forget(fd);
  } else if (sockets_.insert(fd).second) {
    loop_.watch(fd, events, [this, fd](uint32_t ready) {
      const bool ended = (ready & (EPOLLERR | EPOLLHUP)) != 0;
      process(ended || (ready & EPOLLIN) ? fd : ARES_SOCKET_BAD, ready & EPOLLOUT ? fd : ARES_SOCKET_BAD);
    });
  } else {
    loop_.set_events(fd, events);
  }
}

void Resolver::process(int readable, int writable) {
  ares_process_fd(channel_, readable, writable);
  arm_timeout();
}

void Resolver::arm_timeout() {
  loop_.cancel(std::exchange(timeout_, 0));
  timeval left{};
  if (ares_timeout(channel_, nullptr, &left) == nullptr) return;
  const std::chrono::milliseconds delay(left.tv_sec * 1000 + left.tv_usec / 1000 + 1);
  timeout_ = loop_.after(delay, [this] {
    timeout_ = 0;
    process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  });
}

}  // namespace leat::agent
