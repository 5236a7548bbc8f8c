// The modes that do not speak HTTP: dial, connect, bulk, idle.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "bench/load/load.h"

namespace load {
namespace {

constexpr size_t kChunkBytes = 256 * 1024;

// One byte there and back.
bool echoes(int fd) {
  char byte = 'l';
  return send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1;
}

// One request and its whole answer.
bool answers(int fd) {
  constexpr std::string_view kRequest = "GET / HTTP/1.1\r\nHost: backend\r\n\r\n";
  if (send(fd, kRequest.data(), kRequest.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(kRequest.size())) return false;
  std::string answer;
  std::array<char, 4096> piece;
  for (;;) {
    const ssize_t got = recv(fd, piece.data(), piece.size(), 0);
    if (got <= 0) return false;
    answer.append(piece.data(), static_cast<size_t>(got));
    const size_t head = answer.find("\r\n\r\n");
    if (head == std::string::npos) continue;
    if (answer.size() >= head + 4 + body_length(std::string_view(answer).substr(0, head))) return true;
  }
}

bool works(const Options& options, int fd) { return options.http ? answers(fd) : echoes(fd); }

void end(const Options& options, int fd) {
  char byte = 0;
  if (options.server_closes) recv(fd, &byte, 1, 0);
  close(fd);
}

}  // namespace

Report run_dial(const Options& options) {
  Report report;
  const auto dial = [&] {
    const auto start = Clock::now();
    const int fd = connect_or_die(options);
    if (echoes(fd))
      report.latencies.push_back(static_cast<float>(Microseconds(Clock::now() - start).count()));
    else
      ++report.failed["no echo"];
    end(options, fd);
  };
  if (options.total == 0) {
    measure_by_time(options, report, dial);
  } else {
    const Measured measured(report);
    for (uint64_t number = 0; number < options.total; ++number) dial();
  }
  return report;
}

// Each connection is then used and closed, so that none queues up at the server.
Report run_connect(const Options& options) {
  Report report;
  measure_by_time(options, report, [&] {
    const auto start = Clock::now();
    const int fd = start_connect(options);
    const auto took = Clock::now() - start;
    pollfd connected{.fd = fd, .events = POLLOUT, .revents = 0};
    poll(&connected, 1, static_cast<int>(options.timeout_s * 1000));
    fcntl(fd, F_SETFL, 0);
    if (fd >= 0 && echoes(fd))
      report.latencies.push_back(static_cast<float>(Microseconds(took).count()));
    else
      ++report.failed["no echo"];
    end(options, fd);
  });
  return report;
}

// Bytes are counted where this program sees them: sent and taken by the kernel, or received.
Report run_bulk(const Options& options) {
  const bool up = options.mode == "bulk-up";
  std::vector<pollfd> sockets;
  sockets.reserve(static_cast<size_t>(options.connections));
  for (int i = 0; i < options.connections; ++i)
    sockets.push_back(
        {.fd = connect_or_die(options), .events = static_cast<short>(up ? POLLOUT : POLLIN), .revents = 0});
  const auto chunk = std::make_unique<char[]>(kChunkBytes);
  Report report;
  measure_by_time(options, report, [&] {
    poll(sockets.data(), sockets.size(), 100);
    for (pollfd& socket : sockets) {
      if (socket.revents == 0) continue;
      const ssize_t moved = up ? send(socket.fd, chunk.get(), kChunkBytes, MSG_NOSIGNAL | MSG_DONTWAIT)
                               : recv(socket.fd, chunk.get(), kChunkBytes, MSG_DONTWAIT);
      if (moved > 0) {
        report.bytes += static_cast<uint64_t>(moved);
      } else if (moved == 0 || errno != EAGAIN) {
        ++report.failed[moved == 0 ? "closed" : std::strerror(errno)];
        close(std::exchange(socket.fd, -1));  // which poll() passes over
      }
    }
  });
  for (const pollfd& socket : sockets) close(socket.fd);
  return report;
}

Report run_idle(const Options& options) {
  Report report;
  std::vector<int> sockets;
  for (int i = 0; i < options.connections; ++i) {
    sockets.push_back(connect_or_die(options));
    if (!works(options, sockets.back())) ++report.failed["no answer at first"];
  }
  {
    const Measured measured(report);
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
  }
  for (const int fd : sockets) {
    if (!works(options, fd)) ++report.failed["no answer at last"];
    close(fd);
  }
  return report;
}

}  // namespace load
