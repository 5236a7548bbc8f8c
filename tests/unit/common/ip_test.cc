#include "common/ip.h"

#include <doctest/doctest.h>

using leat::Cidr;
using leat::IpAddress;
using leat::SocketAddress;

TEST_CASE("an IPv4 address and its v4-mapped form are one address") {
  CHECK(IpAddress::parse("10.1.2.3") == IpAddress::parse("::ffff:10.1.2.3"));
  CHECK(IpAddress::parse("::ffff:10.1.2.3")->text() == "10.1.2.3");
  CHECK(IpAddress::parse("10.1.2.3")->wire().size() == 4);
  CHECK(IpAddress::from_wire(IpAddress::parse("fd00::1")->wire()) == IpAddress::parse("fd00::1"));
}

TEST_CASE("text that is not exactly an address is refused") {
  for (const char* text :
       {"", "1.2.3", "1.2.3.4 ", " 1.2.3.4", "1.2.3.256", "::g", "[::1]", "1.2.3.4:80", "fe80::1%lo"}) {
    CAPTURE(text);
    CHECK_FALSE(IpAddress::parse(text));
  }
  for (const char* text : {"1.2.3.4", "1.2.3.4:", "1.2.3.4:080", "1.2.3.4:65536", "1.2.3.4:+1", "::1:80",
                           "[1.2.3.4]:80", ":80", "[::1]80"}) {
    CAPTURE(text);
    CHECK_FALSE(SocketAddress::parse(text));
  }
  CHECK(SocketAddress::parse("[::1]:80")->text() == "[::1]:80");
  CHECK(SocketAddress::parse("1.2.3.4:0")->text() == "1.2.3.4:0");
}

TEST_CASE("a CIDR contains its addresses and no other") {
  const auto ten = Cidr::parse("10.0.0.0/9");
  REQUIRE(ten);
  CHECK(ten->contains(*IpAddress::parse("10.127.255.255")));
  CHECK_FALSE(ten->contains(*IpAddress::parse("10.128.0.0")));
  CHECK_FALSE(ten->contains(*IpAddress::parse("fd00::1")));
  CHECK(ten->text() == "10.0.0.0/9");
  CHECK(Cidr::parse("0.0.0.0/0")->contains(*IpAddress::parse("255.1.1.1")));
  CHECK_FALSE(Cidr::parse("0.0.0.0/0")->contains(*IpAddress::parse("fd00::1")));
  CHECK_FALSE(Cidr::parse("10.0.0.1/9"));
  CHECK_FALSE(Cidr::parse("10.0.0.0/33"));
  CHECK(Cidr::parse("fd00::/8")->text() == "fd00::/8");
}

TEST_CASE("a socket address survives the trip through sockaddr in both families") {
  sockaddr_storage storage;
  const auto v4 = *SocketAddress::parse("10.0.0.1:8080");
  v4.to_sockaddr(storage, AF_INET);
  CHECK(SocketAddress::from_sockaddr(storage) == v4);
  v4.to_sockaddr(storage, AF_INET6);
  CHECK(SocketAddress::from_sockaddr(storage) == v4);
}
