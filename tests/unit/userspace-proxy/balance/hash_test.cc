#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "field.h"
#include "userspace-proxy/balance/hash_table.h"

namespace leat::proxy {
namespace {

constexpr uint64_t kKeys = 20'000;

v1::TrafficPolicy hashing(bool maglev, uint32_t balance_percent = 0) {
  v1::TrafficPolicy policy;
  policy.mutable_hash()->set_header("x-user");
  policy.mutable_hash()->set_maglev(maglev);
  policy.mutable_hash()->set_balance_percent(balance_percent);
  return policy;
}

uint64_t key(uint64_t number) { return hash_of("user-" + std::to_string(number)); }

// Where each key goes.
std::vector<size_t> owners(Field& field) {
  std::vector<size_t> all;
  for (uint64_t number = 0; number < kKeys; ++number) all.push_back(Field::index(field.first(key(number))));
  return all;
}

std::vector<double> shares(const std::vector<size_t>& owners, size_t hosts) {
  std::vector<double> each(hosts);
  for (const size_t owner : owners) each[owner] += 1.0 / static_cast<double>(owners.size());
  return each;
}

}  // namespace

TEST_CASE("a key goes to one host every time, and keys spread over all") {
  for (const bool maglev : {false, true}) {
    CAPTURE(maglev);
    Field field(hashing(maglev), std::vector<uint32_t>(10, 1));
    const auto all = owners(field);
    CHECK(all == owners(field));
    const auto each = shares(all, 10);
    const auto [least, most] = std::ranges::minmax(each);
    CHECK(least > (maglev ? 0.09 : 0.07));
    CHECK(most < (maglev ? 0.11 : 0.14));
  }
}

TEST_CASE("two proxies with other dice agree where a key goes") {
  Field one(hashing(false), {1, 1, 1});
  Field other(hashing(false), {1, 1, 1});
  for (int i = 0; i < 100; ++i) static_cast<void>(other.first());
  CHECK(owners(one) == owners(other));
}

TEST_CASE("keys follow the weights") {
  for (const bool maglev : {false, true}) {
    CAPTURE(maglev);
    Field field(hashing(maglev), {1, 2, 7});
    const auto each = shares(owners(field), 3);
    CHECK(each[0] == doctest::Approx(0.1).epsilon(0.25));
    CHECK(each[1] == doctest::Approx(0.2).epsilon(0.25));
    CHECK(each[2] == doctest::Approx(0.7).epsilon(0.15));
  }
}

TEST_CASE("when a host leaves, few keys move but its own, and all of them return with it") {
  for (const bool maglev : {false, true}) {
    CAPTURE(maglev);
    Field field(hashing(maglev), std::vector<uint32_t>(10, 1));
    const auto before = owners(field);
    field.message.mutable_endpoints(3)->set_ready(false);
    field.update();
    const auto without = owners(field);
    size_t own = 0;
    size_t moved = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      own += before[i] == 3 ? 1 : 0;
      moved += before[i] != 3 && before[i] != without[i] ? 1 : 0;
    }
    MESSAGE("keys of the host ", own, ", others that moved ", moved, " of ", kKeys);
    CHECK(moved < kKeys * (maglev ? 8 : 12) / 100);
    field.message.mutable_endpoints(3)->set_ready(true);
    field.update();
    CHECK(owners(field) == before);
  }
}

TEST_CASE("a key whose host is out goes to the same other host each time, and a retry to another one") {
  Field field(hashing(false), std::vector<uint32_t>(5, 1));
  const SocketAddress owner = field.first(key(1))->target;
  Candidates candidates = field.candidates(key(1));
  std::set<const Backend*> offered;
  while (const Backend* backend = candidates.next()) offered.insert(backend);
  CHECK(offered.size() == 5);
  field.balancer.failed(owner, field.now);
  const SocketAddress second = field.first(key(1))->target;
  CHECK(second != owner);
  for (int i = 0; i < 20; ++i) CHECK(field.first(key(1))->target == second);
}

TEST_CASE("bounded load: one key that everybody asks for fills its host to the bound, then the next ones") {
  for (const bool maglev : {false, true}) {
    CAPTURE(maglev);
    Field field(hashing(maglev, 125), std::vector<uint32_t>(8, 1));
    std::vector<Balancer::Use> open;
    std::map<size_t, int> load;
    for (int i = 0; i < 800; ++i) {
      const Backend* backend = field.first(key(7));
      ++load[Field::index(backend)];
      open.push_back(field.use(*backend));
    }
    int most = 0;
    for (const auto& [host, count] : load) most = std::max(most, count);
    CHECK(most <= 126);  // 125 % of 100
    CHECK(most >= 120);
    CHECK(load.size() >= 7);
  }
  Field unbounded(hashing(false), std::vector<uint32_t>(8, 1));
  std::vector<Balancer::Use> open;
  std::set<size_t> hosts;
  for (int i = 0; i < 800; ++i) {
    const Backend* backend = unbounded.first(key(7));
    hosts.insert(Field::index(backend));
    open.push_back(unbounded.use(*backend));
  }
  CHECK(hosts.size() == 1);
}

TEST_CASE("a ring has at least so many points, and a Maglev table is full") {
  const std::vector<HashTable::Host> hosts{{1, 1}, {2, 1}, {3, 5}};
  CHECK(HashTable::ring(hosts, 1024).size() >= 1024);
  CHECK(HashTable::ring(hosts, 1024).size() < 1100);
  const HashTable maglev = HashTable::maglev(hosts, 251);
  CHECK(maglev.size() == 251);
  for (size_t slot = 0; slot < maglev.size(); ++slot) CHECK(maglev.host(slot) < 3);
  CHECK(HashTable::maglev(hosts, 250).size() == HashTable::kMaglevEntries);  // no prime: it could never be filled
  const std::vector<HashTable::Host> far_apart{{1, 1}, {2, 0xffffffff}};
  CHECK(HashTable::ring(far_apart, 1024).size() <= HashTable::kMostRingPoints + 2);
  CHECK(HashTable::ring({}, 1024).size() == 0);
  CHECK(HashTable::maglev({}, 251).size() == 0);
}

TEST_CASE("what has no key is spread at random") {
  Field field(hashing(true), {1, 1, 1, 1});
  for (const int hits : field.hits(4000)) CHECK(hits == doctest::Approx(1000).epsilon(0.15));
}

}  // namespace leat::proxy
