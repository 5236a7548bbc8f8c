// bench_relay: the event loop alone as a TCP proxy, to compare with others and to profile.
//   bench_relay LISTEN_PORT TARGET_PORT [io_uring|epoll]      (both on 127.0.0.1; one thread; ends by a signal)
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "userspace-proxy/ring/acceptor.h"
#include "userspace-proxy/ring/relay.h"
#include "userspace-proxy/ring/socket.h"

using namespace leat;
using namespace leat::ring;

namespace {

UniqueFd tcp_socket() { return UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

UniqueFd listen_on(uint16_t port) {
  UniqueFd listener = tcp_socket();
  const int one = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_storage address{};
  const socklen_t bytes = SocketAddress{IpAddress::v4(INADDR_LOOPBACK), port}.to_sockaddr(address, AF_INET);
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), bytes) != 0 ||
      ::listen(listener.get(), 4096) != 0) {
    std::perror("bench_relay: listen");
    std::exit(1);
  }
  return listener;
}

Task<void> serve(Loop& loop, UniqueFd accepted, SocketAddress target) {
  Socket client(loop, std::move(accepted));
  Socket server(loop, tcp_socket());
  if (!co_await server.connect(target, loop.now() + std::chrono::seconds(5))) {
    client.reset();
    co_return;
  }
  RelayCounters counters;
  static_cast<void>(co_await relay(client, server, counters));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: bench_relay LISTEN_PORT TARGET_PORT [io_uring|epoll]\n");
    return 2;
  }
  LoopOptions options;
  if (argc > 3 && std::string_view(argv[3]) == "epoll") options.backend = BackendKind::kEpoll;
  auto loop = Loop::create(options);
  if (!loop) {
    std::fprintf(stderr, "bench_relay: %s\n", loop.error().message.c_str());
    return 1;
  }
  const SocketAddress target{IpAddress::v4(INADDR_LOOPBACK), static_cast<uint16_t>(std::atoi(argv[2]))};
  Acceptor acceptor(
      **loop, listen_on(static_cast<uint16_t>(std::atoi(argv[1]))),
      [&](UniqueFd accepted) { start(serve(**loop, std::move(accepted), target)); },
      [](int error) { std::fprintf(stderr, "bench_relay: the listener died: errno %d\n", error); });
  acceptor.arm();
  (*loop)->run();
}
