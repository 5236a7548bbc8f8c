#include "userspace-proxy/balance/balancer.h"

#include <algorithm>

namespace leat::proxy {
namespace {

// Draws that may land on a backend that is out or was tried, before the list is walked instead.
constexpr int kDraws = 4;

}  // namespace

bool Candidates::was_tried(size_t index) const { return std::ranges::find(tried_, index) != tried_.end(); }

const Backend* Candidates::next() {
  if (!more()) return nullptr;
  const auto usable = [&](size_t index) {
    return !was_tried(index) && !balancer_.ejected(backends_[index].target, now_);
  };

  size_t chosen = 0;
  for (int draw = 0; draw < kDraws; ++draw) {
    chosen = balancer_.choose(service_, port_, backends_);
    if (usable(chosen)) break;
  }
  const auto walk = [&](auto&& fits) {
    for (size_t step = 0; step < backends_.size(); ++step) {
      const size_t index = (chosen + step) % backends_.size();
      if (fits(index)) return index;
    }
    return backends_.size();
  };
  size_t index = walk(usable);
  if (index == backends_.size())
    index = walk([&](size_t i) { return !was_tried(i); });  // better one that is out than none
  tried_.push_back(static_cast<uint32_t>(index));
  return &backends_[index];
}

size_t Balancer::choose(const Service& service, const Service::Port& port, std::span<const Backend> backends) {
  if (backends.size() == 1) return 0;
  switch (port.load_balancing) {
    case v1::LB_ROUND_ROBIN:
      return round_robin(service, port, backends);
    case v1::LB_RANDOM:
      return weighted_random(port, backends);
    default:
      return least_request(port, backends);
  }
}

size_t Balancer::least_request(const Service::Port& port, std::span<const Backend> backends) {
  const size_t first = weighted_random(port, backends);
  size_t second = weighted_random(port, backends);
  if (second == first) second = (first + 1 + random_() % (backends.size() - 1)) % backends.size();
  // (open + 1) / weight, compared without a division.
  const auto load = [&](size_t mine, size_t other) {
    return (uint64_t{open_connections(backends[mine].target)} + 1) * backends[other].weight;
  };
  return load(second, first) < load(first, second) ? second : first;
}

size_t Balancer::weighted_random(const Service::Port& port, std::span<const Backend> backends) {
  // Rejection: a uniform draw is kept with probability weight / max_weight. The bound only matters where one weight
  // dwarfs all others.
  size_t index = random_() % backends.size();
  for (int draw = 0; draw < 64 && random_() % port.max_weight >= backends[index].weight; ++draw)
    index = random_() % backends.size();
  return index;
}

size_t Balancer::round_robin(const Service& service, const Service::Port& port, std::span<const Backend> backends) {
  std::vector<int64_t>& scores = scores_[{service.key, port.subset, port.port, port.ipv6}];
  if (scores.size() != backends.size()) scores.assign(backends.size(), 0);
  int64_t total = 0;
  for (size_t i = 0; i < backends.size(); ++i) {
    scores[i] += backends[i].weight;
    total += backends[i].weight;
  }
  const auto best = std::ranges::max_element(scores);
  *best -= total;
  return static_cast<size_t>(best - scores.begin());
}

Balancer::Use Balancer::use(const SocketAddress& target) { return Use(&states_[target].open); }

void Balancer::failed(const SocketAddress& target, Clock::time_point now) {
  State& state = states_[target];
  state.failures = std::min(state.failures + 1, limits::kEjectionMaxFactor);
  state.out_until = now + limits::kEjection * state.failures;
}

void Balancer::succeeded(const SocketAddress& target) {
  const auto state = states_.find(target);
  if (state != states_.end()) state->second.failures = 0;
}

void Balancer::forget_idle(Clock::time_point now) {
  std::erase_if(states_, [&](const auto& entry) { return entry.second.open == 0 && entry.second.out_until <= now; });
}

uint32_t Balancer::open_connections(const SocketAddress& target) const {
  const auto state = states_.find(target);
  return state == states_.end() ? 0 : state->second.open;
}

bool Balancer::ejected(const SocketAddress& target, Clock::time_point now) const {
  const auto state = states_.find(target);
  return state != states_.end() && now < state->second.out_until;
}

}  // namespace leat::proxy
