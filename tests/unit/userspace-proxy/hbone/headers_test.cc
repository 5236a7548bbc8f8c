#include "userspace-proxy/hbone/headers.h"

#include <doctest/doctest.h>

using leat::SocketAddress;
using leat::hbone::Baggage;
using leat::hbone::Forwarded;

TEST_CASE("baggage is written in the order that peers expect, absent fields absent") {
  const Baggage full{"c1", "shop", "deployment", "front", "front", "v1", "eu", "eu-1"};
  CHECK(full.write() ==
        "k8s.cluster.name=c1,k8s.namespace.name=shop,k8s.deployment.name=front,service.name=front,service.version=v1,"
        "cloud.region=eu,"
        "cloud.availability_zone=eu-1");
  CHECK(Baggage{.ns = "shop", .service = "a,b"}.write() == "k8s.namespace.name=shop,service.name=a%2Cb");
  CHECK(Baggage{}.write().empty());
  CHECK(Baggage::parse(full.write()) == full);
  CHECK(Baggage::parse(Baggage{.service = "a,b;c=d%\x01\xff \""}.write())->service == "a,b;c=d%\x01\xff \"");
}

TEST_CASE("baggage of others is read past what is unknown, and refused where it is no list") {
  CHECK(Baggage::parse(" x=1 , k8s.namespace.name = shop ;ttl=3,, service.name=a")->ns == "shop");
  CHECK(Baggage::parse("k8s.job.name=a")->workload_kind == "job");
  CHECK(Baggage::parse("") == Baggage{});
  for (const char* text : {"novalue", "=x", "a b=c", "a=b c", "a=%", "a=%4", "a=%zz", "a=\x01", "a=\xff"}) {
    CAPTURE(text);
    CHECK_FALSE(Baggage::parse(text));
  }
}

TEST_CASE("forwarded carries an address, and the service asked for by name") {
  const Forwarded four{*SocketAddress::parse("10.0.0.1:4711"), "a.b.svc.cluster.local"};
  CHECK(four.write() == "for=\"10.0.0.1:4711\";host=a.b.svc.cluster.local");
  CHECK(Forwarded::parse(four.write()) == four);
  const Forwarded six{*SocketAddress::parse("[fd00::1]:80"), ""};
  CHECK(six.write() == "for=\"[fd00::1]:80\"");
  CHECK(Forwarded::parse(six.write()) == six);
  CHECK(Forwarded::parse("For=\"10.0.0.1:4711\"; proto=tcp;host=\"a:80\"")->host == "a:80");
}

TEST_CASE("a forwarded header that could mean two things is refused") {
  for (const char* text : {"", "for=10.0.0.1", "for=\"10.0.0.1\"", "for=unknown", "for=_hidden", "host=a",
                           "for=\"10.0.0.1:1\",for=\"10.0.0.2:2\"", "for=\"10.0.0.1:1\";for=\"10.0.0.2:2\"",
                           "for=\"10.0.0.1:1", "for=\"10.0.0.1:1\";host=a;host=b", "for=\"10.0.0.1:1\";host=\"a b\"",
                           "for=\"10.0.0.1:1\\\"\"", "for=\"10.0.0.1:99999\"", "for", "for=\"10.0.0.1:1\";x"}) {
    CAPTURE(text);
    CHECK_FALSE(Forwarded::parse(text));
  }
}
