// The pool of idle upstream connections: how many it keeps, and whose.
#include "userspace-proxy/flow/upstream_pool.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <vector>

#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {
namespace {

WorkloadRef pod(const std::string& uid) {
  auto workload = std::make_unique<Workload>();
  workload->uid = uid;
  return WorkloadRef(workload.release());
}

// A worker without listeners, whose upstream connections are socket pairs.
class Pool {
 public:
  explicit Pool(ring::BackendKind backend) : loop_(*ring::Loop::create({.backend = backend})) {
    rlimit descriptors{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &descriptors) == 0);
    descriptors.rlim_cur = descriptors.rlim_max;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &descriptors) == 0);
  }
  ~Pool() {
    upstreams().close_all_idle();
    settle();
  }

  UpstreamPool& upstreams() { return worker_.upstreams; }

  // A connection of `source` to the backend at `port`, used once. Returns the server's end.
  UniqueFd put(const WorkloadRef& source, uint16_t port) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    FlowRecord record(worker_.flows, v1::FLOW_OUTBOUND);
    record.source = source;
    const UpstreamKey key{source.get(), nullptr, {*IpAddress::parse("10.0.0.1"), port}, Way::kOutsideTheMesh};
    Upstream upstream = ring::Socket(*loop_, UniqueFd(ends[0]));
    upstreams().put(std::make_unique<UpstreamConnection>(std::move(upstream), key, record));
    return UniqueFd(ends[1]);
  }

  // Until nothing is ending any more.
  void settle() {
    run([this] { return upstreams().ending() == 0; });
  }
  template <typename Done>
  void run(Done done) {
    ring::start([](ring::Loop& loop, Done until) -> ring::Task<void> {
      while (!until()) co_await loop.sleep_until(loop.now() + std::chrono::milliseconds(1));
      loop.stop();
    }(*loop_, done));
    loop_->run();
  }

 private:
  std::unique_ptr<ring::Loop> loop_;
  std::atomic<uint64_t> sequence_{1};
  Worker worker_{*loop_, {.closed_sequence = &sequence_, .agent = {}, .listener_died = {}, .beat = [] {}}};
};

void with_both(const std::function<void(ring::BackendKind)>& test) {
  for (const auto backend : {ring::BackendKind::kIoUring, ring::BackendKind::kEpoll}) test(backend);
}

}  // namespace

TEST_CASE("of one pod to one backend no more than the limit are kept, the last used ones") {
  with_both([](ring::BackendKind backend) {
    Pool pool(backend);
    const WorkloadRef client = pod("client");
    std::vector<UniqueFd> servers;
    for (size_t i = 0; i < limits::kIdleUpstreamsABackend + 3; ++i) servers.push_back(pool.put(client, 80));
    CHECK(pool.upstreams().idle() == limits::kIdleUpstreamsABackend);
    pool.settle();
    char byte = 0;
    for (size_t i = 0; i < 3; ++i) CHECK(::recv(servers[i].get(), &byte, 1, MSG_DONTWAIT) == 0);
    CHECK(::recv(servers[3].get(), &byte, 1, MSG_DONTWAIT) == -1);
  });
}

TEST_CASE("a pod that fills the pool makes room itself, and displaces no other pod's connection") {
  with_both([](ring::BackendKind backend) {
    Pool pool(backend);
    const WorkloadRef greedy = pod("greedy");
    const WorkloadRef modest = pod("modest");
    std::vector<UniqueFd> servers;
    const auto fill = [&](size_t count, uint16_t first_port) {
      for (size_t i = 0; i < count; ++i)
        servers.push_back(pool.put(greedy, static_cast<uint16_t>(first_port + i / 100)));
    };
    fill(100, 1000);
    servers.push_back(pool.put(modest, 80));
    fill(limits::kIdleUpstreams, 2000);
    CHECK(pool.upstreams().idle() == limits::kIdleUpstreams);
    pool.upstreams().pod_gone("greedy");
    CHECK(pool.upstreams().idle() == 1);
  });
}

TEST_CASE("an idle connection whose server speaks or ends is kept no longer") {
  with_both([](ring::BackendKind backend) {
    Pool pool(backend);
    const WorkloadRef client = pod("client");
    UniqueFd ending = pool.put(client, 80);
    const UniqueFd speaking = pool.put(client, 81);
    const UniqueFd silent = pool.put(client, 82);
    ending = UniqueFd();
    REQUIRE(::send(speaking.get(), "?", 1, 0) == 1);
    pool.run([&] { return pool.upstreams().idle() == 1; });
    pool.settle();
    CHECK(pool.upstreams().idle() == 1);
  });
}

}  // namespace leat::proxy
