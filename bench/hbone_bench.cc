// What HBONE costs without sockets: two tunnels back to back in memory, on one thread.
//
//   bench_hbone [CASE [COUNT]]      CASE: one, many, bulk, stream, handshake, memory; all of them without an argument
//
// Prints thread CPU time for each operation; an operation covers both ends. For instruction counts, which noise does
// not touch (strip, because Debian 12's valgrind can't read clang-19's debug information):
//   strip -g -o /tmp/bench_hbone build/bin/bench_hbone
//   valgrind --tool=callgrind --toggle-collect=measured /tmp/bench_hbone one 1000      # divide "Collected" by COUNT
#include <malloc.h>
#include <stdlib.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agent/ca/ca.h"
#include "common/check.h"
#include "common/log.h"
#include "userspace-proxy/hbone/tunnel.h"

using namespace leat;
using hbone::Event;
using hbone::EventKind;
using hbone::Stream;
using hbone::Tunnel;

namespace {

constexpr size_t kMessageBytes = 1024;
constexpr size_t kStreams = 64;

double cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// The mesh's CA and two workloads.
struct Mesh {
  tls::CredentialsPtr front = issue("front");
  tls::CredentialsPtr back = issue("back");

  ~Mesh() { std::filesystem::remove_all(folder_); }

 private:
  static std::string make_folder() {
    char text[] = "/tmp/leat-hbone-bench-XXXXXX";
    return mkdtemp(text);
  }
  tls::CredentialsPtr issue(const char* account) {
    if (folder_.empty()) folder_ = make_folder();
    const auto ca = *ca::CertificateAuthority::open(folder_, "cluster.local");
    const auto key = *tls::KeyPair::generate();
    const std::string chain[] = {
        *ca.sign(*key.signing_request(), {"cluster.local", "shop", account}, std::chrono::hours(1))};
    return *tls::Credentials::make(key, chain, *tls::TrustBundle::make("cluster.local", ca.roots()));
  }
  static inline std::string folder_;
};

struct Pipe {
  ring::BufferPool& pool;
  hbone::Counters counters;
  hbone::Clock::time_point now = hbone::Clock::now();
  Tunnel client;
  Tunnel server;

  Pipe(const Mesh& mesh, ring::BufferPool& buffers)
      : pool(buffers),
        client(Tunnel::client(mesh.front, {mesh.back->own().identity}, pool, counters, now)),
        server(Tunnel::server(mesh.back, pool, counters, now)) {
    settle();
    LEAT_CHECK(client.open() && server.open(), "handshake failed");
  }

  bool pass(Tunnel& from, Tunnel& to) {
    ring::Chain bytes = from.produce();
    if (bytes.empty()) return false;
    LEAT_CHECK(to.feed(std::move(bytes), now), "tunnel broke");
    return true;
  }
  void settle() {
    for (bool any = true; any;) {
      any = pass(client, server);
      any |= pass(server, client);
    }
  }
  // Two ends of an accepted stream; `user` of one is the other.
  Stream& open() {
    Stream& here = client.session().open(
        {.authority = *SocketAddress::parse("10.0.0.5:8080"),
         .baggage = "k8s.cluster.name=c,k8s.namespace.name=shop,k8s.deployment.name=front,service.name=front",
         .forwarded = "for=\"10.0.0.1:4711\""});
    pass(client, server);
    for (Event event; server.session().next_event(event);) {
      if (event.kind != EventKind::kConnect) continue;
      server.session().accept(*event.stream, "");
      here.user = event.stream;
    }
    settle();
    for (Event event; client.session().next_event(event);) {
    }
    return here;
  }
  void close(Stream& here) {
    auto& there = *static_cast<Stream*>(here.user);
    client.session().end(here);
    server.session().end(there);
    settle();
    client.session().release(here);
    server.session().release(there);
  }
  void send(Tunnel& tunnel, Stream& stream, std::span<const uint8_t> message) {
    ring::Chain bytes;
    LEAT_CHECK(bytes.append_copy(pool, message), "pool dry");
    tunnel.session().send(stream, bytes);
  }
  // Takes what has arrived at `tunnel`, as if it had been written to the application.
  size_t drain(Tunnel& tunnel) {
    size_t size = 0;
    for (Event event; tunnel.session().next_event(event);) {
      if (event.kind != EventKind::kReadable) continue;
      const size_t got = event.stream->received().size();
      event.stream->received().clear();
      tunnel.session().consumed(*event.stream, got);
      size += got;
    }
    return size;
  }
};

// One request and its response on each stream; a message is 1 KiB, each way is one flush.
void round_trip(Pipe& pipe, std::span<Stream* const> streams) {
  static const std::vector<uint8_t> message(kMessageBytes, 'x');
  for (Stream* stream : streams) pipe.send(pipe.client, *stream, message);
  pipe.pass(pipe.client, pipe.server);
  LEAT_CHECK(pipe.drain(pipe.server) == kMessageBytes * streams.size(), "requests are missing");
  for (Stream* stream : streams) pipe.send(pipe.server, *static_cast<Stream*>(stream->user), message);
  pipe.pass(pipe.server, pipe.client);
  LEAT_CHECK(pipe.drain(pipe.client) == kMessageBytes * streams.size(), "responses are missing");
}

// Apart and by a plain name, so that callgrind can be told to collect here only.
extern "C" [[gnu::noinline]] void measured(const std::function<void()>& operation, size_t count) {
  for (size_t i = 0; i < count; ++i) operation();
}

void report(const char* what, size_t count, size_t parts, const std::function<void()>& operation) {
  operation();  // warm
  const double start = cpu_ns();
  measured(operation, count);
  std::printf("%-44s %10.0f ns\n", what, (cpu_ns() - start) / static_cast<double>(count * parts));
}

void one(Pipe& pipe, size_t count) {
  Stream* stream = &pipe.open();
  report("1 KiB request + response, one stream", count, 1, [&] { round_trip(pipe, {&stream, 1}); });
}

void many(Pipe& pipe, size_t count) {
  std::vector<Stream*> streams;
  for (size_t i = 0; i < kStreams; ++i) streams.push_back(&pipe.open());
  report("1 KiB request + response, 64 streams a flush", count / kStreams + 1, kStreams,
         [&] { round_trip(pipe, streams); });
}

void bulk(Pipe& pipe, size_t count) {
  Stream& stream = pipe.open();
  const std::vector<uint8_t> megabyte(1 << 20, 'x');
  report("1 MiB one way", count / 16 + 1, 1, [&] {
    ring::Chain bytes;
    LEAT_CHECK(bytes.append_copy(pipe.pool, megabyte), "pool dry");
    for (size_t arrived = 0; arrived < megabyte.size();) {
      pipe.client.session().send(stream, bytes);
      pipe.pass(pipe.client, pipe.server);
      arrived += pipe.drain(pipe.server);
      pipe.pass(pipe.server, pipe.client);
    }
  });
}

void streams(Pipe& pipe, size_t count) {
  report("new stream, accepted, closed", count, 1, [&] { pipe.close(pipe.open()); });
}

void handshakes(const Mesh& mesh, ring::BufferPool& pool, size_t count) {
  report("handshake, both sides", count / 32 + 1, 1, [&] { const Pipe pipe(mesh, pool); });
}

void memory(const Mesh& mesh, ring::BufferPool& pool) {
  constexpr size_t kTunnels = 20;
  constexpr size_t kIdle = 96;
  const auto used = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
  {
    const Pipe warm(mesh, pool);
  }
  const size_t empty = used();
  std::vector<std::unique_ptr<Pipe>> pipes;
  for (size_t i = 0; i < kTunnels; ++i) pipes.push_back(std::make_unique<Pipe>(mesh, pool));
  const size_t tunnels = used();
  for (const auto& pipe : pipes) {
    std::vector<Stream*> open;
    for (size_t i = 0; i < kIdle; ++i) open.push_back(&pipe->open());
    round_trip(*pipe, open);
  }
  const size_t idle = used();
  std::printf("%-44s %10zu B a side\n", "idle tunnel", (tunnels - empty) / kTunnels / 2);
  std::printf("%-44s %10zu B a side\n", "idle stream (it has carried bytes)", (idle - tunnels) / kTunnels / kIdle / 2);
  std::printf("%-44s %10zu B\n", "of these: hbone::Stream itself", sizeof(Stream));
  std::printf("%-44s %10u\n", "pool blocks held by idle tunnels", pool.blocks() - pool.free_blocks());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string which = argc > 1 ? argv[1] : "all";
  const size_t count = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 10000;
  log::init("hbone_bench", "warn");
  const Mesh mesh;
  ring::BufferPool pool(4096);
  const auto with_pipe = [&](const char* name, void (*benchmark)(Pipe&, size_t)) {
    if (which != name && which != "all") return;
    Pipe pipe(mesh, pool);
    benchmark(pipe, count);
  };
  with_pipe("one", one);
  with_pipe("many", many);
  with_pipe("bulk", bulk);
  with_pipe("stream", streams);
  if (which == "handshake" || which == "all") handshakes(mesh, pool, count);
  if (which == "memory" || which == "all") memory(mesh, pool);
  return 0;
}
