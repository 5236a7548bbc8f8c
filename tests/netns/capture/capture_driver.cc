// Drives agent/capture for the tests beside this file: one JSON request a line on stdin, one JSON reply a line on
// stdout. It plays the agent (open, apply, broker …) and, in the least way that shows where a connection went, the
// proxy (accept, dial, read, write).
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "agent/capture/capture.h"
#include "common/log.h"

namespace {

using leat::IpAddress;
using leat::Result;
using leat::SocketAddress;
using leat::UniqueFd;
using nlohmann::json;
using namespace leat::capture;
namespace v1 = leat::v1;

constexpr int kWaitMs = 10'000;  // for what must happen; a test that waits this long has failed

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

IpAddress ip(const json& text) {
  const auto address = IpAddress::parse(text.get<std::string>());
  if (!address) throw std::runtime_error("not an address: " + text.dump());
  return *address;
}

Exclusions exclusions(const json& from) {
  Exclusions made;
  if (from.is_null()) return made;
  made.ports = from.value("ports", std::vector<uint16_t>{});
  for (const json& cidr : from.value("cidrs", json::array()))
    made.cidrs.push_back(leat::Cidr::parse(cidr.get<std::string>()).value());
  return made;
}

PodSpec pod(const json& from) {
  PodSpec made{.uid = from.at("uid"),
               .index = from.at("index"),
               .addresses = {},
               .netns_path = from.at("netns"),
               .strict = from.value("strict", false),
               .port_mtls = {},
               .outbound = exclusions(from.value("outbound", json())),
               .inbound = exclusions(from.value("inbound", json())),
               .probe_ports = from.value("probe_ports", std::vector<uint16_t>{})};
  for (const json& address : from.at("addresses")) made.addresses.push_back(ip(address));
  const auto port_mtls = from.value("port_mtls", json::object());
  for (const auto& [port, mode] : port_mtls.items())
    made.port_mtls[static_cast<uint16_t>(std::stoi(port))] = v1::MtlsMode(mode.get<int>());
  return made;
}

Plan plan(const json& from) {
  Plan made;
  for (const json& each : from.value("pods", json::array())) made.pods.push_back(pod(each));
  for (const json& each : from.value("aliases", json::array()))
    made.aliases.push_back(
        {.id = each.at("id"), .address = ip(each.at("address")), .destination = each.value("destination", true)});
  for (const json& each : from.value("direct", json::array())) {
    DirectService service{.alias_id = each.at("alias"),
                          .port = each.at("port"),
                          .local = {},
                          .remote_endpoints = each.value("remote", 0u),
                          .remote_alias_id = each.value("remote_alias", 0u)};
    for (const json& backend : each.at("local"))
      service.local.push_back(
          {.address = ip(backend.at("address")), .port = backend.at("port"), .pod_index = backend.at("pod")});
    made.direct.push_back(std::move(service));
  }
  made.same_node = v1::SameNode(from.value("same_node", 0));
  return made;
}

v1::ListenerId listener_id(const json& from) {
  v1::ListenerId id;
  id.set_workload_uid(from.at("uid"));
  id.set_role(v1::ListenerRole(from.at("role").get<int>()));
  id.set_ipv6(from.value("ipv6", false));
  id.set_epoch(from.value("epoch", uint64_t{0}));
  return id;
}

json to_json(const Listener& listener) {
  return {{"uid", listener.id.workload_uid()},
          {"role", int(listener.id.role())},
          {"ipv6", listener.id.ipv6()},
          {"epoch", listener.id.epoch()},
          {"fd", listener.fd}};
}

json to_json(const DirectFlow& flow) {
  return {
      {"client", flow.client.text()},
      {"requested", flow.requested.text()},
      {"backend", flow.backend.text()},
      {"client_pod", flow.client_pod},
      {"backend_pod", flow.backend_pod},
      {"sent", flow.bytes_sent},
      {"received", flow.bytes_received},
      {"error", flow.error},
      {"established", flow.established},
      {"age_ms",
       std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now() - flow.opened).count()}};
}

json to_json(const Feature& feature) {
  return {{"name", feature.name}, {"ok", feature.ok}, {"needed", feature.needed}, {"cure", feature.cure}};
}

template <typename T>
json list(const std::vector<T>& values) {
  json made = json::array();
  for (const T& value : values) made.push_back(to_json(value));
  return made;
}

std::string name_of(int socket, int (*ask)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (ask(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) throw std::runtime_error("no name");
  return SocketAddress::from_sockaddr(storage).value().text();
}

void wait_for(int fd, short events) {
  pollfd poll_fd{.fd = fd, .events = events, .revents = 0};
  if (poll(&poll_fd, 1, kWaitMs) != 1) throw std::runtime_error("nothing happened in time");
}

class Driver {
 public:
  json handle(const json& request) {
    const std::string command = request.at("cmd");
    if (command == "open") return open(request);
    if (command == "uninstall") return must(uninstall(options(request))), json(true);
    if (command == "features") return list(probe_features(options(request)));
    if (command == "write") return write_all(request);
    if (command == "read") return read_some(request);
    if (command == "close") return ::close(request.at("fd").get<int>());
    if (!capture_) throw std::runtime_error("open first");
    if (command == "apply") return apply(request);
    if (command == "listeners") return list(capture_->listeners());
    if (command == "accept") return accept_one(request);
    if (command == "pending") return pending(request);
    if (command == "dial") return dial(request);
    if (command == "sockets")
      return json(
          must(capture_->make_sockets(request.at("uid"), request.value("ipv6", false), request.at("count"))).size());
    if (command == "adopt") return adopt(request);
    if (command == "rebuild") return to_json(must(capture_->rebuild_listener(listener_id(request))));
    if (command == "rebuild_missing") return list(must(capture_->rebuild_missing()));
    if (command == "close_slots") return capture_->close_slots(), json(true);
    if (command == "open_slots") return capture_->open_slots(), json(true);
    if (command == "flows") return list(must(capture_->kernel_flows(request.at("uid"))).direct);
    if (command == "closed") return closed(request);
    if (command == "edges") return edges();
    if (command == "untouched") return untouched(request);
    if (command == "counters") return counters();
    if (command == "fills") return fills();
    if (command == "hooks") return list(capture_->hooks());
    throw std::runtime_error("unknown command " + command);
  }

 private:
  static Options options(const json& request) {
    return {.bpffs = request.at("bpffs"),
            .pods_cgroup = request.at("pods"),
            .agent_cgroup = request.at("agent"),
            .kubelet_cgroup = request.value("kubelet", "")};
  }

  json open(const json& request) {
    capture_ = must(Capture::open(options(request)));
    return true;
  }

  json apply(const json& request) {
    const Report report = must(capture_->apply(plan(request)));
    json failed = json::object();
    for (const PodFailure& failure : report.failed_pods) failed[failure.uid] = failure.error.message;
    return {{"failed", failed}, {"notes", report.notes}};
  }

  int listener_fd(const json& request) const {
    const v1::ListenerId wanted = listener_id(request);
    for (const Listener& listener : capture_->listeners()) {
      if (listener.id.workload_uid() == wanted.workload_uid() && listener.id.role() == wanted.role() &&
          listener.id.ipv6() == wanted.ipv6())
        return listener.fd;
    }
    throw std::runtime_error("no such listener");
  }

  json accept_one(const json& request) const {
    const int listener = listener_fd(request);
    wait_for(listener, POLLIN);
    const int accepted = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (accepted < 0) throw std::runtime_error("accept failed");
    return {{"fd", accepted}, {"local", name_of(accepted, getsockname)}, {"peer", name_of(accepted, getpeername)}};
  }

  json pending(const json& request) const {
    pollfd poll_fd{.fd = listener_fd(request), .events = POLLIN, .revents = 0};
    return poll(&poll_fd, 1, 0) == 1;
  }

  json dial(const json& request) {
    const SocketAddress to = SocketAddress::parse(request.at("to").get<std::string>()).value();
    const sa_family_t family = to.ip.is_v4() ? AF_INET : AF_INET6;
    auto sockets = must(capture_->make_sockets(request.at("uid"), family == AF_INET6, 1));
    sockaddr_storage storage{};
    if (request.contains("source")) {
      const socklen_t size = SocketAddress{ip(request["source"]), 0}.to_sockaddr(storage, family);
      if (bind(sockets[0].get(), reinterpret_cast<sockaddr*>(&storage), size) != 0) return {{"errno", errno}};
    }
    const socklen_t size = to.to_sockaddr(storage, family);
    if (connect(sockets[0].get(), reinterpret_cast<sockaddr*>(&storage), size) != 0 && errno != EINPROGRESS)
      return {{"errno", errno}};
    wait_for(sockets[0].get(), POLLOUT);
    int error = 0;
    socklen_t error_size = sizeof error;
    getsockopt(sockets[0].get(), SOL_SOCKET, SO_ERROR, &error, &error_size);
    if (error != 0) return {{"errno", error}};
    return {{"errno", 0}, {"local", name_of(sockets[0].get(), getsockname)}, {"fd", sockets[0].release()}};
  }

  json adopt(const json& request) {
    const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, request.at("pid").get<int>(), 0)));
    UniqueFd taken(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), request.at("fd").get<int>(), 0)));
    must(capture_->adopt_listener(listener_id(request), std::move(taken)));
    return true;
  }

  json closed(const json& request) {
    std::vector<DirectFlow> flows;
    while (flows.size() < request.value("count", size_t{1})) {
      wait_for(capture_->closed_flows_fd(), POLLIN);
      for (const DirectFlow& flow : capture_->take_closed_flows()) flows.push_back(flow);
    }
    return list(flows);
  }

  json edges() {
    json made = json::array();
    for (const DirectEdge& edge : must(capture_->direct_edges())) {
      made.push_back({{"client_pod", edge.client_pod},
                      {"backend_pod", edge.backend_pod},
                      {"alias", edge.alias_id},
                      {"port", edge.port},
                      {"opened", edge.opened},
                      {"closed", edge.closed},
                      {"failed", edge.failed},
                      {"sent", edge.bytes_sent},
                      {"received", edge.bytes_received}});
    }
    return made;
  }

  json untouched(const json& request) {
    json made = json::array();
    const KernelFlows flows = must(capture_->kernel_flows(request.at("uid")));
    for (const UntouchedFlow& flow : flows.untouched)
      made.push_back({{"local", flow.local.text()}, {"remote", flow.remote.text()}, {"inbound", flow.inbound}});
    return made;
  }

  json counters() {
    json made = json::object();
    for (const CounterValue& counter : must(capture_->counters()))
      made[counter.pod_index == CounterValue::kNoPod ? "node" : std::to_string(counter.pod_index)][counter.name] =
          counter.value;
    return made;
  }

  json fills() {
    json made = json::object();
    for (const MapFill& fill : must(capture_->map_fills())) made[fill.name] = fill.entries;
    return made;
  }

  static json write_all(const json& request) {
    const std::string text = request.at("text");
    return ::write(request.at("fd").get<int>(), text.data(), text.size());
  }

  static json read_some(const json& request) {
    const int fd = request.at("fd");
    wait_for(fd, POLLIN);
    char buffer[4096];
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    return got < 0 ? json({{"errno", errno}}) : json(std::string(buffer, static_cast<size_t>(got)));
  }

  std::unique_ptr<Capture> capture_;
};

}  // namespace

int main(int argc, char** argv) {
  leat::log::init("capture_driver", argc > 1 ? argv[1] : "warn");
  Driver driver;
  for (std::string line; std::getline(std::cin, line);) {
    json reply;
    try {
      reply = {{"ok", driver.handle(json::parse(line))}};
    } catch (const std::exception& error) {
      reply = {{"error", error.what()}};
    }
    std::cout << reply.dump() << std::endl;
  }
}
