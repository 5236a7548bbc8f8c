// What one request becomes: a line of the access log, a span, a row of `leat tap`.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "userspace-proxy/telemetry/log_line.h"
#include "userspace-proxy/telemetry/request_span.h"
#include "userspace-proxy/telemetry/request_tap.h"
#include "userspace-proxy/telemetry/span_queue.h"

using namespace leat;
using namespace leat::proxy;
using namespace std::chrono_literals;

namespace {

using Headers = std::map<std::string, std::string, std::less<>>;

HeadFields fields_of(const Headers& headers) {
  return {.find = [](const void* all, std::string_view name) -> std::optional<std::string_view> {
            const auto& map = *static_cast<const Headers*>(all);
            const auto found = map.find(name);
            return found == map.end() ? std::nullopt : std::optional<std::string_view>(found->second);
          },
          .fields = &headers};
}

WorkloadRef pod(const char* name, std::vector<v1::TraceTag> tags = {}) {
  auto made = std::make_unique<Workload>();
  made->uid = made->name = name;
  made->namespace_ = "shop";
  made->owner = name;
  auto telemetry = std::make_unique<WorkloadTelemetry>();
  telemetry->tags = std::move(tags);
  made->telemetry = std::move(telemetry);
  return WorkloadRef(made.release());
}

ServiceRef service() {
  auto made = std::make_unique<Service>();
  made->key = "shop/backend";
  made->namespace_ = "shop";
  made->name = "backend";
  return ServiceRef(made.release());
}

// GET /a?b of frontend, answered by backend-1 with 200.
struct Scene {
  Headers headers{{"user-agent", "curl\"\n"}};
  FlowFacts flow;
  RequestTrace trace;
  ObservedRequest request;

  explicit Scene(std::vector<v1::TraceTag> tags = {}) {
    flow.source = pod("frontend", std::move(tags));
    flow.destination = pod("backend-1");
    flow.service = service();
    flow.client = {*IpAddress::parse("10.1.0.1"), 40000};
    flow.requested = {*IpAddress::parse("10.96.0.1"), 8080};
    flow.server = {*IpAddress::parse("10.2.0.1"), 80};
    flow.security = Security::kMtls;
    flow.attempts = 1;
    trace.trace = {0x4bf92f3577b34da6, 0xa3ce929d0e0e4736};
    trace.span = 0xabc;
    trace.reported = true;
    request = {.flow = &flow,
               .http = true,
               .method = "GET",
               .authority = "backend:8080",
               .path = "/a?b",
               .protocol = "HTTP/1.1",
               .request_fields = fields_of(headers),
               .subset = "v1",
               .trace = &trace,
               .started = std::chrono::system_clock::time_point(1'700'000'000'123ms),
               .took = 7ms,
               .request_bytes = 3,
               .response_bytes = 5,
               .code = 200};
  }
  std::string line(std::string_view format) const {
    std::string out;
    append_log_line(*LogFormat::line(format), request, out);
    return out;
  }
  std::map<std::string, std::string> attributes() const {
    std::map<std::string, std::string> all;
    for (const otlp::KeyValue& each : request_span(request).attributes())
      all[each.key()] =
          each.value().has_string_value() ? each.value().string_value() : std::to_string(each.value().int_value());
    return all;
  }
};

}  // namespace

TEST_CASE("a log line has what its format asks for, and a client can't end it") {
  const Scene scene;
  CHECK(scene.line("%START_TIME% %REQ(:METHOD)% %REQ(X-NONE?:PATH)% %RESPONSE_CODE% %DURATION%") ==
        "2023-11-14T22:13:20.123Z GET /a?b 200 7\n");
  CHECK(scene.line("%REQ(USER-AGENT)%|%REQ(USER-AGENT):2%|%REQ(X)%") == "curl\\\"\\u000a|cu|-\n");
  CHECK(scene.line("%UPSTREAM_HOST% %UPSTREAM_CLUSTER% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%") ==
        "10.2.0.1:80 outbound|8080|v1|backend.shop.svc.cluster.local 10.1.0.1\n");
  CHECK(scene.line("%TRACE_ID%") == "4bf92f3577b34da6a3ce929d0e0e4736\n");
}

TEST_CASE("a log object has numbers as numbers, and null for what is not there") {
  const Scene scene;
  std::string out;
  append_log_line(*LogFormat::json(R"({"code":"%RESPONSE_CODE%","none":"%REQ(X)%","both":"%REQ(X)%:%PROTOCOL%"})"),
                  scene.request, out);
  CHECK(out == "{\"code\":200,\"none\":null,\"both\":\"-:HTTP/1.1\"}\n");
}

TEST_CASE("a request that no server answered is told without one") {
  Scene scene;
  scene.flow.attempts = 0;
  scene.request.code = 503;
  scene.request.flags = ResponseFlag::kNoHealthyUpstream;
  scene.request.reason = Reason::kNoEndpoint;
  CHECK(scene.line("%UPSTREAM_HOST% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%") == "- UH no-endpoint\n");
  const auto attributes = scene.attributes();
  CHECK(attributes.at("error.type") == "no-endpoint");
  CHECK_FALSE(attributes.contains("network.peer.address"));
  CHECK(request_span(scene.request).status().code() == otlp::Status::STATUS_CODE_ERROR);
}

TEST_CASE("a gRPC call is named and told as OpenTelemetry names calls, and a status other than 0 is an error") {
  Scene scene;
  scene.request.method = "POST";
  scene.request.path = "/shop.Cart/Add";
  scene.request.call = {.grpc = true, .status = 0};
  CHECK(request_span(scene.request).name() == "shop.Cart/Add");
  CHECK(request_span(scene.request).status().code() == otlp::Status::STATUS_CODE_UNSET);
  auto attributes = scene.attributes();
  CHECK(attributes.at("rpc.system") == "grpc");
  CHECK(attributes.at("rpc.service") == "shop.Cart");
  CHECK(attributes.at("rpc.method") == "Add");
  CHECK(attributes.at("rpc.grpc.status_code") == "0");
  scene.request.call.status = 4;
  CHECK(request_span(scene.request).status().code() == otlp::Status::STATUS_CODE_ERROR);
  CHECK(scene.attributes().at("error.type") == "4");
  // What no server knows may be anything: no name is made of it.
  scene.request.call.status = 12;
  CHECK(request_span(scene.request).name() == "POST");
  scene.request.call = {};
  CHECK(request_span(scene.request).name() == "POST");
  CHECK_FALSE(scene.attributes().contains("rpc.system"));
}

TEST_CASE("a span has OpenTelemetry's names and the ids of its trace") {
  v1::TraceTag tag;
  tag.set_name("agent");
  tag.set_header("user-agent");
  v1::TraceTag absent;
  absent.set_name("tenant");
  absent.set_header("x-tenant");
  absent.set_fallback("nobody");
  Scene scene({tag, absent});
  scene.trace.incoming.span = 0x123;
  const otlp::Span span = request_span(scene.request);
  CHECK(span.name() == "GET");
  CHECK(span.kind() == otlp::Span::SPAN_KIND_CLIENT);
  CHECK(span.trace_id() == std::string("\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36", 16));
  CHECK(span.parent_span_id() == std::string("\0\0\0\0\0\0\x01\x23", 8));
  CHECK(span.end_time_unix_nano() - span.start_time_unix_nano() == 7'000'000);
  const auto attributes = scene.attributes();
  for (const auto& [key, value] : std::map<std::string, std::string>{{"http.request.method", "GET"},
                                                                     {"url.path", "/a"},
                                                                     {"url.query", "b"},
                                                                     {"url.full", "http://backend:8080/a?b"},
                                                                     {"server.address", "backend"},
                                                                     {"server.port", "8080"},
                                                                     {"http.response.status_code", "200"},
                                                                     {"leat.destination.subset", "v1"},
                                                                     {"agent", "curl\"?"},
                                                                     {"tenant", "nobody"}}) {
    CAPTURE(key);
    REQUIRE(attributes.contains(key));
    CHECK(attributes.at(key) == value);
  }
  CHECK_FALSE(attributes.contains("error.type"));
}

TEST_CASE("a method that nobody knows names no span") {
  Scene scene;
  scene.request.method = "BREW";
  CHECK(request_span(scene.request).name() == "HTTP");
  CHECK(scene.attributes().at("http.request.method") == "_OTHER");
  CHECK(scene.attributes().at("http.request.method_original") == "BREW");
}

TEST_CASE("spans go by pod, in batches that a collector takes") {
  SpanQueue queue;
  const WorkloadRef one = pod("one"), two = pod("two");
  for (size_t i = 0; i < limits::kSpansABatch + 1; ++i) queue.add(*one, {});
  queue.add(*two, {});
  CHECK(queue.size() == limits::kSpansABatch + 2);
  std::multiset<std::pair<std::string, size_t>> taken;
  while (const auto batch = queue.take()) taken.emplace(batch->pod->name, batch->spans.size());
  CHECK(taken == std::multiset<std::pair<std::string, size_t>>{{"one", limits::kSpansABatch}, {"one", 1}, {"two", 1}});
  CHECK(queue.empty());
}

TEST_CASE("a tap keeps requests only while somebody asks, and says what it lost") {
  std::atomic<uint64_t> sequence{1};
  RequestTap tap(sequence);
  const Scene scene;
  const Clock::time_point start{};
  std::vector<v1::TappedRequest> seen;
  CHECK_FALSE(tap.on());
  tap.report(0, sequence, start, &seen);
  CHECK(tap.on());
  for (size_t i = 0; i < limits::kTappedRequests + 3; ++i) tap.add(scene.request);
  CHECK(tap.dropped() == 3);
  const uint64_t until = sequence;
  tap.report(until - 2, until, start, &seen);
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].path() == "/a?b");
  CHECK(seen[0].sequence() + 1 == seen[1].sequence());
  tap.tend(start + limits::kTapTime - 1ms);
  CHECK(tap.on());
  tap.tend(start + limits::kTapTime);
  CHECK_FALSE(tap.on());
}
