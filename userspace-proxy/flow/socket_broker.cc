#include "userspace-proxy/flow/socket_broker.h"

#include <algorithm>

#include "userspace-proxy/limits.h"

namespace leat::proxy {

ring::Task<Outcome<UniqueFd>> SocketBroker::take(const Workload& pod, bool ipv6, ring::Clock::time_point deadline) {
  const Key key{pod.uid, ipv6};
  Stock& stock = stocks_[key];
  ++stock.taken;
  if (stock.spare.empty()) {
    stock.target = std::clamp(stock.target * 2, limits::kSpareSocketsMin, limits::kSpareSocketsMax);
    ++stock.waiters;
    refill(key, stock);
    const bool woken = co_await stock.waiting.wait(loop_, deadline);
    --stock.waiters;
    if (!woken || stock.spare.empty()) co_return std::unexpected(Reason::kNoBroker);
  }
  UniqueFd socket = std::move(stock.spare.back());
  stock.spare.pop_back();
  refill(key, stock);
  co_return socket;
}

// Asks in batches: only when half of the target is gone, and at most kSocketBatch at a time.
void SocketBroker::refill(const Key& key, Stock& stock) {
  const uint32_t wanted = stock.waiters + stock.target;
  const uint32_t coming = stock.requested + static_cast<uint32_t>(stock.spare.size());
  if (coming >= wanted || coming > stock.waiters + stock.target / 2) return;
  const uint32_t count = std::min(wanted - coming, limits::kSocketBatch);
  stock.requested += count;
  agent_.sockets(key.first, key.second, count);
}

void SocketBroker::arrived(const std::string& uid, bool ipv6, uint32_t requested, std::vector<UniqueFd> sockets) {
  const auto found = stocks_.find({uid, ipv6});
  if (found == stocks_.end()) return;
  Stock& stock = found->second;
  stock.requested -= std::min(stock.requested, requested);
  const bool short_of = sockets.size() < requested;
  for (UniqueFd& socket : sockets) {
    stock.spare.push_back(std::move(socket));
    stock.waiting.wake_one();  // takes it
  }
  if (short_of) {
    stock.waiting.wake_all();  // nothing to take: they fail now rather than at their deadlines
  } else if (stock.waiters > 0) {
    refill(found->first, stock);
  }
}

void SocketBroker::agent_returned() {
  for (auto& [key, stock] : stocks_) {
    stock.requested = 0;
    if (stock.waiters > 0) refill(key, stock);
  }
}

void SocketBroker::pod_gone(const std::string& uid) {
  for (const bool ipv6 : {false, true}) {
    const auto found = stocks_.find({uid, ipv6});
    if (found == stocks_.end()) continue;
    found->second.spare.clear();
    found->second.target = 0;
    found->second.waiting.wake_all();
    if (found->second.waiters == 0) stocks_.erase(found);
  }
}

void SocketBroker::trim() {
  for (auto& [key, stock] : stocks_) {
    const uint32_t needed = std::exchange(stock.taken, 0);
    if (needed >= stock.target) continue;
    stock.target = std::max(needed, stock.target / 2);
    if (stock.spare.size() > stock.target) stock.spare.resize(stock.target);
  }
  std::erase_if(stocks_, [](const auto& entry) {
    const Stock& stock = entry.second;
    return stock.target == 0 && stock.spare.empty() && stock.waiters == 0 && stock.requested == 0;
  });
}

size_t SocketBroker::spare() const {
  size_t sum = 0;
  for (const auto& [key, stock] : stocks_) sum += stock.spare.size();
  return sum;
}

}  // namespace leat::proxy
