// Hosts resolved by a real DNS server, on loopback: which answers become news, how long they hold, and what is kept
// when the server fails.
#include "agent/resolver.h"

#include <algorithm>

#include "agent/limits.h"
#include "tests/unit/agent/dns_server.h"

namespace leat::agent {
namespace {

using Reply = DnsServer::Reply;
using Clock = EventLoop::Clock;

constexpr char kHost[] = "api.example.com";

IpAddress ip(const std::string& text) { return *IpAddress::parse(text); }

struct Resolved {
  std::unique_ptr<EventLoop> loop = *EventLoop::make();
  DnsServer server{*loop};
  std::vector<control::HostAnswer> news;
  std::unique_ptr<Resolver> resolver =
      *Resolver::open(*loop, {server.address()}, [this](const control::HostAnswer& answer) { news.push_back(answer); });

  template <typename Holds>
  bool until(Holds holds) {
    const auto deadline = Clock::now() + std::chrono::seconds(20);
    while (!holds() && Clock::now() < deadline) loop->run_once(std::chrono::milliseconds(100));
    return holds();
  }
  bool until_news(size_t count) {
    return until([&] { return news.size() >= count; });
  }
  DnsServer::Zone& zone() { return server.zones[kHost]; }
};

TEST_CASE("a host's answer has its addresses of both families") {
  Resolved dns;
  dns.zone().addresses = {ip("192.0.2.1"), ip("2001:db8::1")};
  CHECK(dns.resolver->want({kHost}).empty());
  CHECK(dns.news.empty());  // not from there
  REQUIRE(dns.until_news(1));
  CHECK(dns.news[0].meta.name.name == kHost);
  auto addresses = dns.news[0].addresses;
  std::ranges::sort(addresses);
  auto expected = dns.zone().addresses;
  std::ranges::sort(expected);
  CHECK(addresses == expected);
  CHECK(dns.news[0].problem.empty());
}

TEST_CASE("a host with addresses of IPv6 alone has those") {
  Resolved dns;
  dns.zone().addresses = {ip("2001:db8::1"), ip("2001:db8::2")};
  dns.resolver->want({kHost});
  REQUIRE(dns.until_news(1));
  CHECK(dns.news[0].addresses == dns.zone().addresses);
}

TEST_CASE("an answer holds for its time, then the host is asked for again; another order is no news") {
  Resolved dns;
  dns.zone() = {.addresses = {ip("192.0.2.1"), ip("192.0.2.2")}, .ttl_s = 1};
  dns.resolver->want({kHost});
  REQUIRE(dns.until_news(1));
  const auto answered = Clock::now();
  std::ranges::reverse(dns.zone().addresses);
  REQUIRE(dns.until([&] { return dns.zone().asked == 2; }));
  CHECK(Clock::now() - answered >= limits::kDnsShortest - std::chrono::milliseconds(50));
  dns.zone().addresses = {ip("192.0.2.2"), ip("192.0.2.3"), ip("192.0.2.1")};
  REQUIRE(dns.until_news(2));
  // What is still there keeps its place.
  CHECK(dns.news[1].addresses == std::vector{ip("192.0.2.1"), ip("192.0.2.2"), ip("192.0.2.3")});
  CHECK(dns.zone().asked >= 3);
}

TEST_CASE("a time of 0 does not make the agent ask without end") {
  Resolved dns;
  dns.zone() = {.addresses = {ip("192.0.2.1")}, .ttl_s = 0};
  dns.resolver->want({kHost});
  REQUIRE(dns.until_news(1));
  const auto answered = Clock::now();
  REQUIRE(dns.until([&] { return dns.zone().asked == 2; }));
  CHECK(Clock::now() - answered >= limits::kDnsShortest - std::chrono::milliseconds(50));
}

TEST_CASE("a server that fails takes nothing away; the host is asked for until it answers") {
  Resolved dns;
  dns.zone() = {.addresses = {ip("192.0.2.1")}, .ttl_s = 1};
  dns.resolver->want({kHost});
  REQUIRE(dns.until_news(1));
  dns.zone().reply = Reply::kFailure;
  const int before = dns.zone().asked;
  // One question and all its tries have failed, and the next one has begun.
  REQUIRE(dns.until([&] { return dns.zone().asked > before + limits::kDnsTries; }));
  CHECK(dns.news.size() == 1);
  dns.zone() = {.addresses = {ip("192.0.2.9")}, .asked = dns.zone().asked};
  REQUIRE(dns.until_news(2));
  CHECK(dns.news[1].addresses == std::vector{ip("192.0.2.9")});
}

TEST_CASE("a host that was never resolved has no address and a reason") {
  Resolved dns;
  std::string reason;
  SUBCASE("the server fails") {
    dns.zone().reply = Reply::kFailure;
    reason = "the resolver gave no answer";
  }
  SUBCASE("the server knows no such name") { reason = "there is no such host"; }
  SUBCASE("the name has no address") {
    dns.zone();
    reason = "there is no such host";
  }
  dns.resolver->want({kHost});
  REQUIRE(dns.until_news(1));
  CHECK(dns.news[0].addresses.empty());
  CHECK(dns.news[0].problem.starts_with(reason));
}

TEST_CASE("a host that is no more loses its addresses") {
  Resolved dns;
  dns.zone() = {.addresses = {ip("192.0.2.1")}, .ttl_s = 1};
  dns.resolver->want({kHost});
  REQUIRE(dns.until_news(1));
  dns.zone().reply = Reply::kNoSuchHost;
  REQUIRE(dns.until_news(2));
  CHECK(dns.news[1].addresses.empty());
  CHECK(dns.news[1].problem == "there is no such host");
}

TEST_CASE("of a host with more addresses than a datagram has room for a bounded number is taken") {
  Resolved dns;
  for (int i = 1; i <= 100; ++i) dns.zone().addresses.push_back(ip("192.0.2." + std::to_string(i)));
  dns.resolver->want({kHost});
  REQUIRE(dns.until_news(1));
  CHECK(dns.news[0].addresses.size() == limits::kDnsAddresses);
}

TEST_CASE("the answer for a host that nobody names any more is no news") {
  Resolved dns;
  dns.zone() = {.addresses = {ip("192.0.2.1")}, .reply = Reply::kLater};
  dns.resolver->want({kHost});
  REQUIRE(dns.until([&] { return dns.zone().asked == 1; }));
  CHECK(dns.resolver->want({"other.example.com"}) == std::vector<std::string>{kHost});
  dns.zone().reply = Reply::kAddresses;
  dns.server.answer_now();
  REQUIRE(dns.until_news(1));
  CHECK(dns.news[0].meta.name.name == "other.example.com");
  // It is asked for anew when it is named again.
  dns.resolver->want({kHost});
  REQUIRE(dns.until_news(2));
  CHECK(dns.news[1].meta.name.name == kHost);
  CHECK(dns.zone().asked == 2);
}

TEST_CASE("servers that are none are an error that names them") {
  const auto loop = *EventLoop::make();
  const auto resolver = Resolver::open(*loop, {"not a server"}, [](const control::HostAnswer&) {});
  REQUIRE_FALSE(resolver);
  CHECK(resolver.error().message.find("dns.servers not a server") != std::string::npos);
}

}  // namespace
}  // namespace leat::agent
