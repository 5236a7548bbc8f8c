// userspace-proxy/balance: which backend a connection goes to. Pure: no clock, no sockets, no threads of its own; one
// Balancer a worker. Least request is the power of two choices (two random backends, the one with fewer open
// connections for its weight); round robin is the smooth weighted kind (no bursts to a heavy backend); random is by
// weight. A backend whose dial failed is left out for a short while, unless nothing else is left.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "userspace-proxy/limits.h"
#include "userspace-proxy/mesh/mesh.h"

namespace leat::proxy {

class Balancer;

// The backends of one connection, best first, none twice. Lives no longer than the Balancer and the Service that it was
// made from.
class Candidates {
 public:
  // Null when every backend was offered.
  const Backend* next();
  [[nodiscard]] bool more() const { return tried_.size() < backends_.size(); }

 private:
  friend class Balancer;
  Candidates(Balancer& balancer, const Service& service, const Service::Port& port, bool remote_only,
             Clock::time_point now)
      : balancer_(balancer),
        service_(service),
        port_(port),
        backends_(std::span(port.backends).first(remote_only ? port.remote : port.backends.size())),
        now_(now) {}
  [[nodiscard]] bool was_tried(size_t index) const;

  Balancer& balancer_;
  const Service& service_;
  const Service::Port& port_;
  std::span<const Backend> backends_;
  std::vector<uint32_t> tried_;
  Clock::time_point now_;
};

class Balancer {
 public:
  explicit Balancer(uint64_t seed) : random_(seed) {}

  Candidates candidates(const Service& service, const Service::Port& port, bool remote_only, Clock::time_point now) {
    return {*this, service, port, remote_only, now};
  }

  // Counts a connection as open to a backend while it lives; movable, empty by default.
  class Use {
   public:
    Use() = default;
    Use(Use&& other) noexcept : load_(std::exchange(other.load_, nullptr)) {}
    Use& operator=(Use&& other) noexcept {
      std::swap(load_, other.load_);
      return *this;
    }
    ~Use() {
      if (load_) --*load_;
    }

   private:
    friend class Balancer;
    explicit Use(uint32_t* load) : load_(load) { ++*load_; }
    uint32_t* load_ = nullptr;
  };
  [[nodiscard]] Use use(const SocketAddress& target);

  void failed(const SocketAddress& target, Clock::time_point now);
  void succeeded(const SocketAddress& target);
  // Forgets backends that are neither in use nor out; call it every few seconds.
  void forget_idle(Clock::time_point now);

  [[nodiscard]] uint32_t open_connections(const SocketAddress& target) const;
  [[nodiscard]] bool ejected(const SocketAddress& target, Clock::time_point now) const;

 private:
  friend class Candidates;
  struct State {
    uint32_t open = 0;
    uint32_t failures = 0;  // in a row
    Clock::time_point out_until{};
  };
  [[nodiscard]] size_t choose(const Service& service, const Service::Port& port, std::span<const Backend> backends);
  [[nodiscard]] size_t least_request(const Service::Port& port, std::span<const Backend> backends);
  [[nodiscard]] size_t weighted_random(const Service::Port& port, std::span<const Backend> backends);
  [[nodiscard]] size_t round_robin(const Service& service, const Service::Port& port,
                                   std::span<const Backend> backends);

  std::minstd_rand random_;
  std::unordered_map<SocketAddress, State> states_;  // references to values stay valid while the entry lives
  // Round robin: one a backend of (service, subset, port, IPv6).
  std::map<std::tuple<std::string, std::string, uint16_t, bool>, std::vector<int64_t>> scores_;
};

}  // namespace leat::proxy
