#include "userspace-proxy/balance/balancer.h"

#include <algorithm>
#include <cmath>

namespace leat::proxy {
namespace {

// Draws that may land on a backend that is out or was tried, before the list is walked instead.
constexpr int kDraws = 4;
// A group that has lost some endpoints still carries all as long as this part of the others would: Envoy's.
constexpr uint64_t kOverprovisioningPercent = 140;
// Of a warm-up's weights, so that a tenth of 1 is something.
constexpr uint32_t kFullWeight = 1000;

constexpr double kEwmaDecayMs = 10'000;
// The cost of an endpoint that is in use and was never heard of: nothing is known, so one at a time.
constexpr double kUnknownMs = 1'000;

double ms(Clock::duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

// In thousandths.
uint32_t warmth(const Policy::Warmup& warmup, const Backend& backend, Clock::time_point now) {
  const auto age = now - backend.health->state.joined.get_or_set(now);
  if (age >= warmup.duration) return kFullWeight;
  const double grown =
      std::pow(std::max(ms(age), 0.0) / static_cast<double>(warmup.duration.count()), 1 / warmup.aggression);
  return std::max({static_cast<uint32_t>(grown * kFullWeight), warmup.minimum_percent * kFullWeight / 100, 1u});
}

}  // namespace

// ---- candidates

// A group or a hash looks at all backends: who gave a client this way to the remote ones did not know the policy yet.
Candidates::Candidates(Balancer& balancer, const Service& service, const Service::Port& port, bool remote_only,
                       std::optional<uint64_t> hash, Clock::time_point now)
    : balancer_(balancer), service_(service), port_(port), backends_(port.backends), hash_(hash), now_(now) {
  if (remote_only && port.group_ends.empty() && port.tables.empty()) backends_ = backends_.first(port.remote);
}

void Candidates::only_at(const IpAddress& address) {
  const auto found = std::ranges::find(backends_, address, [](const Backend& each) { return each.target.ip; });
  if (found != backends_.end()) backends_ = std::span(&*found, 1);
}

bool Candidates::was_tried(const Backend& backend) const {
  const auto first = std::span(first_tried_).first(std::min<size_t>(tried_, first_tried_.size()));
  return std::ranges::find(first, &backend) != first.end() ||
         std::ranges::find(more_tried_, &backend) != more_tried_.end();
}

const Backend* Candidates::offer(const Backend* backend) {
  if (tried_ < first_tried_.size()) {
    first_tried_[tried_] = backend;
  } else {
    more_tried_.push_back(backend);
  }
  ++tried_;
  return backend;
}

// With too few endpoints left in, those that are out are as good as the others.
bool Candidates::ejections_hold() {
  if (!ejections_hold_) {
    const auto in = std::ranges::count_if(backends_, [&](const Backend& each) { return !is_ejected(each, now_); });
    ejections_hold_ = !port_.policy->outliers ||
                      static_cast<size_t>(in) * 100 >= port_.policy->outliers->min_health_percent * backends_.size();
  }
  return *ejections_hold_;
}

bool Candidates::usable(const Backend& backend) {
  if (was_tried(backend) || balancer_.is_out(backend, now_)) return false;
  return !is_ejected(backend, now_) || !ejections_hold();
}

const Backend* Candidates::by_hash(std::span<const Backend> group, const HashTable& table) {
  if (table.size() == 0) return nullptr;
  const uint32_t most = port_.policy->hash->balance_percent;
  const size_t first = table.slot_of(*hash_);
  size_t slot = first;
  do {
    const Backend& backend = group[table.host(slot)];
    if (usable(backend) && (most == 0 || !balancer_.is_overloaded(group, backend, most))) return &backend;
    slot = table.next(slot);
  } while (slot != first);
  return nullptr;
}

const Backend* Candidates::from_group(size_t index) {
  const bool whole = backends_.size() == port_.backends.size();
  const std::span<const Backend> group = whole ? port_.group(index) : backends_;
  if (group.empty()) return nullptr;
  if (hash_ && index < port_.tables.size()) {
    if (const Backend* backend = by_hash(group, *port_.tables[index])) return backend;
  }
  size_t chosen = 0;
  for (int draw = 0; draw < kDraws; ++draw) {
    chosen = balancer_.choose({service_, port_, index, group, now_});
    if (usable(group[chosen])) return &group[chosen];
  }
  for (size_t step = 1; step < group.size(); ++step) {
    const Backend& backend = group[(chosen + step) % group.size()];
    if (usable(backend)) return &backend;
  }
  return nullptr;
}

const Backend* Candidates::next() {
  if (!more()) return nullptr;
  const size_t first = balancer_.choose_group(port_, now_);
  if (const Backend* backend = from_group(first)) return offer(backend);
  for (size_t group = 0; group < port_.groups(); ++group) {
    if (group == first) continue;
    if (const Backend* backend = from_group(group)) return offer(backend);
  }
  // Better one that is out than none.
  return offer(&*std::ranges::find_if_not(backends_, [&](const Backend& each) { return was_tried(each); }));
}

// ---- choosing

bool Balancer::is_out(const Backend& backend, Clock::time_point now) const {
  return now < last_out_until_ && ejected(backend.target, now);
}

// By shares, or the nearest first; less of what is out than the others can carry.
size_t Balancer::choose_group(const Service::Port& port, Clock::time_point now) {
  if (port.group_ends.empty()) return 0;
  const std::vector<uint32_t>& shares = port.policy->shares;
  const bool all_well = now >= last_out_until_ && now >= port.live->state.out_until.get();
  // Of 100.
  const auto availability = [&](size_t index) -> uint64_t {
    const auto group = port.group(index);
    if (group.empty()) return 0;
    if (all_well) return 100;
    const auto in =
        std::ranges::count_if(group, [&](const Backend& each) { return !is_out(each, now) && !is_ejected(each, now); });
    return std::min<uint64_t>(100, static_cast<uint64_t>(in) * kOverprovisioningPercent / group.size());
  };
  const auto share = [&](size_t index, uint64_t left) {
    if (shares.empty()) return std::min(left, availability(index));
    return index < shares.size() ? shares[index] * availability(index) : 0;
  };
  uint64_t total = 0;
  for (size_t index = 0; index < port.groups(); ++index) {
    total += share(index, 100 - std::min<uint64_t>(total, 100));
    if (all_well && shares.empty() && total > 0) return index;
  }
  if (total == 0) return 0;
  uint64_t drawn = random_() % total;
  uint64_t given = 0;
  for (size_t index = 0; index < port.groups(); ++index) {
    given += share(index, 100 - std::min<uint64_t>(given, 100));
    if (drawn < given) return index;
  }
  return 0;
}

size_t Balancer::choose(const Choice& choice) {
  if (choice.backends.size() == 1) return 0;
  if (!choice.port.policy) return least_request(choice);
  switch (choice.port.policy->algorithm) {
    case v1::LB_ROUND_ROBIN:
      return round_robin(choice);
    case v1::LB_RANDOM:
      return weighted_random(choice);
    case v1::LB_PEAK_EWMA:
      return peak_ewma(choice);
    default:
      return least_request(choice);
  }
}

uint32_t Balancer::weight_of(const Choice& choice, const Backend& backend) {
  const bool warms_up = choice.port.policy && choice.port.policy->warmup;
  return warms_up ? backend.weight * warmth(*choice.port.policy->warmup, backend, choice.now) : backend.weight;
}

uint32_t Balancer::max_weight(const Choice& choice) {
  const bool warms_up = choice.port.policy && choice.port.policy->warmup;
  return warms_up ? choice.port.max_weight * kFullWeight : choice.port.max_weight;
}

// Two different ones, each drawn by weight where that is possible.
std::pair<size_t, size_t> Balancer::two_of(const Choice& choice) {
  const size_t count = choice.backends.size();
  const size_t first = weighted_random(choice);
  size_t second = weighted_random(choice);
  if (second == first) second = (first + 1 + random_() % (count - 1)) % count;
  return {first, second};
}

size_t Balancer::least_request(const Choice& choice) {
  const auto [first, second] = two_of(choice);
  const Backend& one = choice.backends[first];
  const Backend& other = choice.backends[second];
  // open / weight, compared without a division. With nothing open the first stands, which was drawn by weight.
  const uint64_t load_of_one = uint64_t{open_connections(one.target)} * weight_of(choice, other);
  const uint64_t load_of_other = uint64_t{open_connections(other.target)} * weight_of(choice, one);
  return load_of_other < load_of_one ? second : first;
}

size_t Balancer::peak_ewma(const Choice& choice) {
  const auto [first, second] = two_of(choice);
  return answer_cost(choice, choice.backends[second]) < answer_cost(choice, choice.backends[first]) ? second : first;
}

// The longer an endpoint is not asked, the less its slow answers of then count: so it is tried again.
double Balancer::answer_cost(const Choice& choice, const Backend& backend) const {
  const auto known = states_.find(backend.target);
  if (known == states_.end()) return 0;
  const State& state = known->second;
  const bool heard_of = state.measured != Clock::time_point{};
  const double decayed = heard_of         ? state.ewma_ms * std::exp(-ms(choice.now - state.measured) / kEwmaDecayMs)
                         : state.open > 0 ? kUnknownMs
                                          : 0;
  return decayed * (state.open + 1) / weight_of(choice, backend);
}

size_t Balancer::weighted_random(const Choice& choice) {
  // Rejection: a uniform draw is kept with probability weight / max_weight. The bound only matters where one weight
  // dwarfs all others.
  const uint32_t heaviest = max_weight(choice);
  size_t index = random_() % choice.backends.size();
  if (heaviest == 1) return index;
  for (int draw = 0; draw < 64 && random_() % heaviest >= weight_of(choice, choice.backends[index]); ++draw)
    index = random_() % choice.backends.size();
  return index;
}

size_t Balancer::round_robin(const Choice& choice) {
  // Two with the same hash would only disturb one another's order.
  const uint64_t seed = uint64_t{choice.port.port} << 17 | uint64_t{choice.port.ipv6} << 16 | choice.group;
  std::vector<int64_t>& scores = scores_[hash_of(choice.service.key, hash_of(choice.port.subset, seed))];
  if (scores.size() != choice.backends.size()) scores.assign(choice.backends.size(), 0);
  int64_t total = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const uint32_t weight = weight_of(choice, choice.backends[i]);
    scores[i] += weight;
    total += weight;
  }
  const auto best = std::ranges::max_element(scores);
  *best -= total;
  return static_cast<size_t>(best - scores.begin());
}

bool Balancer::is_overloaded(std::span<const Backend> group, const Backend& backend, uint32_t percent) const {
  uint64_t open = 1;
  uint64_t weights = 0;
  for (const Backend& each : group) {
    open += open_connections(each.target);
    weights += each.weight;
  }
  const uint64_t own = uint64_t{open_connections(backend.target)} + 1;
  // own > ceil(mean for its weight × percent)
  const uint64_t bound = (open * backend.weight * percent + weights * 100 - 1) / (weights * 100);
  return own > bound;
}

// ---- what became of it

Balancer::Use Balancer::use(const Service& service, const Service::Port& port, const Backend& backend,
                            Clock::time_point now) {
  Use use(&states_[backend.target]);
  if (port.policy && (port.policy->outliers || port.policy->algorithm == v1::LB_PEAK_EWMA)) {
    use.service_ = ServiceRef(&service);
    use.port_ = &port;
    use.backend_ = &backend;
    use.began_ = now;
  }
  return use;
}

void Balancer::failed(const SocketAddress& target, Clock::time_point now) {
  State& state = states_[target];
  state.failures = std::min(state.failures + 1, limits::kEjectionMaxFactor);
  leave_out(state, limits::kEjection * state.failures, now);
}

void Balancer::leave_out(State& state, std::chrono::milliseconds time, Clock::time_point now) {
  state.out_until = now + time;
  last_out_until_ = std::max(last_out_until_, state.out_until);
}

void Balancer::failed(const SocketAddress& target, const Use& use, Clock::time_point now) {
  failed(target, now);
  watch(use, Conduct::kLocalFailure, now);
}

void Balancer::succeeded(const SocketAddress& target) {
  const auto state = states_.find(target);
  if (state != states_.end()) state->second.failures = 0;
}

void Balancer::succeeded(const SocketAddress& target, const Use& use, Clock::time_point now) {
  succeeded(target);
  watch(use, Conduct::kConnected, now);
}

void Balancer::answered(const Use& use, uint16_t code, Clock::time_point now) {
  const bool watched = use.service_ && use.port_->policy->outliers;
  const Conduct conduct = watched ? conduct_of(code, use.port_->policy->outliers->error_codes) : conduct_of(code);
  watch(use, conduct, now);
  const bool bad = conduct == Conduct::kGatewayError || conduct == Conduct::kLocalFailure;
  use.state_->bad_answers = bad ? use.state_->bad_answers + 1 : 0;
  if (use.state_->bad_answers >= limits::kBadAnswers && !watched) {
    use.state_->bad_answers = 0;
    leave_out(*use.state_, limits::kEjection, now);
  }
  measured(use, now);
}

void Balancer::measured(const Use& use, Clock::time_point now) {
  if (!use.service_ || use.port_->policy->algorithm != v1::LB_PEAK_EWMA) return;
  State& state = *use.state_;
  const double took = ms(now - use.began_);
  const double kept = std::exp(-ms(now - state.measured) / kEwmaDecayMs);
  const bool is_peak = state.measured == Clock::time_point{} || took > state.ewma_ms;
  state.ewma_ms = is_peak ? took : state.ewma_ms * kept + took * (1 - kept);
  state.measured = now;
}

void Balancer::ended(const Use& use, bool by_reset, Clock::time_point now) {
  watch(use, by_reset ? Conduct::kLocalFailure : Conduct::kGood, now);
}

void Balancer::watch(const Use& use, Conduct conduct, Clock::time_point now) {
  if (!use.service_ || !use.port_->policy->outliers) return;
  const auto ejection = note(*use.service_, *use.port_, *use.backend_, conduct, now);
  if (ejection && on_ejection) on_ejection(*ejection);
}

void Balancer::forget_idle(Clock::time_point now) {
  std::erase_if(states_, [&](const auto& entry) {
    const State& state = entry.second;
    const bool heard_of = state.measured != Clock::time_point{} && ms(now - state.measured) <= kEwmaDecayMs;
    return state.open == 0 && state.out_until <= now && !heard_of;
  });
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
