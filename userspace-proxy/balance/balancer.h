// userspace-proxy/balance: which backend a connection or request goes to, by the port's policy. Pure: no clock, no
// sockets, no threads of its own; one Balancer a worker. What workers must share (ejections, limits) lies beside the
// mesh model, in mesh/live.h.
//
//   balancer.h     the algorithms, and what is open to whom
//   hash_table.h   ring and Maglev
//   hash_key.h     what of a request or connection is hashed
//   outliers.h     who is ejected, and for how long
//   admission.h    how much may be open at once
//
// Least request is the power of two choices: two random backends, the one with fewer open connections for its weight;
// peak EWMA the same with the time that answers take; round robin is the smooth weighted kind (no bursts to a heavy
// backend); random is by weight. A backend whose dial failed, or that failed a few requests in a row,
// is left out for a short while, unless nothing else is left.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "userspace-proxy/balance/outliers.h"
#include "userspace-proxy/limits.h"
#include "userspace-proxy/mesh/mesh.h"

namespace leat::proxy {

class Balancer;

// The backends of one connection, best first, none twice. Lives no longer than the Balancer and the Service that it was
// made from. Allocates nothing before the ninth.
class Candidates {
 public:
  // Null when every backend was offered.
  const Backend* next();
  // Leaves only those at `address`, where there are some: a port that passes on chooses none.
  void only_at(const IpAddress& address);
  [[nodiscard]] bool more() const { return tried_ < backends_.size(); }
  [[nodiscard]] const Service& service() const { return service_; }
  [[nodiscard]] const Service::Port& port() const { return port_; }

 private:
  friend class Balancer;
  Candidates(Balancer& balancer, const Service& service, const Service::Port& port, bool remote_only,
             std::optional<uint64_t> hash, Clock::time_point now);
  [[nodiscard]] bool was_tried(const Backend& backend) const;
  [[nodiscard]] bool usable(const Backend& backend);
  [[nodiscard]] bool ejections_hold();
  const Backend* from_group(size_t group);
  const Backend* by_hash(std::span<const Backend> group, const HashTable& table);
  const Backend* offer(const Backend* backend);

  Balancer& balancer_;
  const Service& service_;
  const Service::Port& port_;
  std::span<const Backend> backends_;
  std::optional<uint64_t> hash_;
  Clock::time_point now_;
  std::optional<bool> ejections_hold_;
  uint32_t tried_ = 0;
  std::array<const Backend*, 8> first_tried_;
  std::vector<const Backend*> more_tried_;
};

class Balancer {
 public:
  explicit Balancer(uint64_t seed) : random_(seed) {}
  Balancer(const Balancer&) = delete;
  Balancer& operator=(const Balancer&) = delete;

  // `hash`: of what the policy hashes (hash_key.h); nothing: the choice is as random as the algorithm has it.
  Candidates candidates(const Service& service, const Service::Port& port, bool remote_only, Clock::time_point now,
                        std::optional<uint64_t> hash = std::nullopt) {
    return {*this, service, port, remote_only, hash, now};
  }

 private:
  struct State {
    uint32_t open = 0;
    uint32_t failures = 0;     // of dials, in a row
    uint32_t bad_answers = 0;  // 502, 503, 504, or none, in a row
    Clock::time_point out_until{};
    double ewma_ms = 0;  // of the time to answer, as of `measured`; peaks count at once
    Clock::time_point measured{};
  };

 public:
  // Counts a connection or request as open to a backend while it lives; movable, empty by default. What became of it is
  // said to it, for the policy that holds.
  class Use {
   public:
    Use() = default;
    Use(Use&& other) noexcept { swap(other); }
    Use& operator=(Use&& other) noexcept {
      swap(other);
      return *this;
    }
    ~Use() {
      if (state_) --state_->open;
    }

   private:
    friend class Balancer;
    explicit Use(State* state) : state_(state) { ++state_->open; }
    void swap(Use& other) {
      std::swap(state_, other.state_);
      std::swap(service_, other.service_);
      std::swap(port_, other.port_);
      std::swap(backend_, other.backend_);
      std::swap(began_, other.began_);
    }

    State* state_ = nullptr;
    // Null where no policy watches what becomes of it.
    ServiceRef service_;
    const Service::Port* port_ = nullptr;
    const Backend* backend_ = nullptr;
    Clock::time_point began_{};
  };
  [[nodiscard]] Use use(const Service& service, const Service::Port& port, const Backend& backend,
                        Clock::time_point now);
  [[nodiscard]] Use use(const SocketAddress& target) { return Use(&states_[target]); }  // no policy

  // ---- what became of it
  void failed(const SocketAddress& target, Clock::time_point now);  // a dial
  void failed(const SocketAddress& target, const Use& use, Clock::time_point now);
  void succeeded(const SocketAddress& target);  // a dial
  void succeeded(const SocketAddress& target, const Use& use, Clock::time_point now);
  // An HTTP request. `code`: of the endpoint's own answer; 0: it gave none.
  void answered(const Use& use, uint16_t code, Clock::time_point now);
  // What took as long as it took since use(): for peak EWMA.
  void measured(const Use& use, Clock::time_point now);
  // An opaque connection; by the endpoint's reset or not.
  void ended(const Use& use, bool by_reset, Clock::time_point now);
  std::function<void(const Ejection&)> on_ejection;

  // Forgets backends that are neither in use nor out; call it every few seconds.
  void forget_idle(Clock::time_point now);

  [[nodiscard]] uint32_t open_connections(const SocketAddress& target) const;
  [[nodiscard]] bool ejected(const SocketAddress& target, Clock::time_point now) const;

 private:
  friend class Candidates;
  // What is chosen from: one group of a port.
  struct Choice {
    const Service& service;
    const Service::Port& port;
    size_t group;
    std::span<const Backend> backends;
    Clock::time_point now;
  };
  [[nodiscard]] size_t choose(const Choice& choice);
  [[nodiscard]] size_t least_request(const Choice& choice);
  [[nodiscard]] size_t peak_ewma(const Choice& choice);
  [[nodiscard]] size_t weighted_random(const Choice& choice);
  [[nodiscard]] size_t round_robin(const Choice& choice);
  [[nodiscard]] std::pair<size_t, size_t> two_of(const Choice& choice);
  [[nodiscard]] static uint32_t weight_of(const Choice& choice, const Backend& backend);
  [[nodiscard]] static uint32_t max_weight(const Choice& choice);
  [[nodiscard]] double answer_cost(const Choice& choice, const Backend& backend) const;
  [[nodiscard]] bool is_overloaded(std::span<const Backend> group, const Backend& backend, uint32_t percent) const;
  [[nodiscard]] size_t choose_group(const Service::Port& port, Clock::time_point now);
  [[nodiscard]] bool is_out(const Backend& backend, Clock::time_point now) const;
  void watch(const Use& use, Conduct conduct, Clock::time_point now);
  void leave_out(State& state, std::chrono::milliseconds time, Clock::time_point now);

  std::minstd_rand random_;
  std::unordered_map<SocketAddress, State> states_;            // references to values stay valid while the entry lives
  Clock::time_point last_out_until_{};                         // of all of them
  std::unordered_map<uint64_t, std::vector<int64_t>> scores_;  // round robin: one a backend of a group of a port
};

}  // namespace leat::proxy
