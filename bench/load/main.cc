// bench_load: puts load on a server and prints one JSON line about how it went.
//   bench_load MODE ADDRESS PORT [--connections N] [--seconds S] [--warm S] [--total N] [--rate R] [--timeout S]
//              [--server-closes] [--http]
//   MODE: http, rate, newconn, dial, connect, bulk-up, bulk-down, idle (see load.h)
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <numeric>
#include <string_view>

#include "bench/load/load.h"

namespace load {
namespace {

[[noreturn]] void usage() {
  std::fprintf(stderr,
               "usage: bench_load http|rate|newconn|dial|connect|bulk-up|bulk-down|idle ADDRESS PORT [--connections N] "
               "[--seconds S] [--warm S] [--total N] [--rate R] [--timeout S] [--server-closes] [--http]\n");
  std::exit(2);
}

void set_target(Options& options, const char* address, const char* port) {
  const auto number = htons(static_cast<uint16_t>(std::atoi(port)));
  auto& v4 = reinterpret_cast<sockaddr_in&>(options.target);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(options.target);
  if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = number;
    options.target_length = sizeof v4;
  } else if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = number;
    options.target_length = sizeof v6;
  } else {
    usage();
  }
}

Options parse(int argc, char** argv) {
  if (argc < 4) usage();
  Options options;
  options.mode = argv[1];
  set_target(options, argv[2], argv[3]);
  for (int i = 4; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--server-closes") {
      options.server_closes = true;
      continue;
    }
    if (name == "--http") {
      options.http = true;
      continue;
    }
    if (++i == argc) usage();
    if (name == "--connections")
      options.connections = std::atoi(argv[i]);
    else if (name == "--seconds")
      options.seconds = std::atof(argv[i]);
    else if (name == "--warm")
      options.warm_s = std::atof(argv[i]);
    else if (name == "--total")
      options.total = static_cast<uint64_t>(std::atoll(argv[i]));
    else if (name == "--rate")
      options.rate = std::atof(argv[i]);
    else if (name == "--timeout")
      options.timeout_s = std::atof(argv[i]);
    else
      usage();
  }
  return options;
}

Report run(const Options& options) {
  if (options.mode == "http" || options.mode == "rate" || options.mode == "newconn") return run_requests(options);
  if (options.mode == "dial") return run_dial(options);
  if (options.mode == "connect") return run_connect(options);
  if (options.mode == "bulk-up" || options.mode == "bulk-down") return run_bulk(options);
  if (options.mode == "idle") return run_idle(options);
  usage();
}

int open_socket(const Options& options, int flags) {
  const int fd = socket(options.target.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

double cpu_seconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

}  // namespace

int start_connect(const Options& options) {
  const int fd = open_socket(options, SOCK_NONBLOCK);
  if (fd < 0) return -errno;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&options.target), options.target_length) == 0 ||
      errno == EINPROGRESS)
    return fd;
  const int error = errno;
  close(fd);
  return -error;
}

int connect_or_die(const Options& options) {
  const int fd = open_socket(options, 0);
  const timeval limit{.tv_sec = static_cast<time_t>(options.timeout_s), .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (fd >= 0 && connect(fd, reinterpret_cast<const sockaddr*>(&options.target), options.target_length) == 0) return fd;
  std::fprintf(stderr, "bench_load: connect: %s\n", std::strerror(errno));
  std::exit(1);
}

Measured::Measured(Report& report) : report_(report) {
  std::puts("START");
  std::fflush(stdout);
  cpu_at_start_ = cpu_seconds();
  start_ = Clock::now();
}

Measured::~Measured() {
  report_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  report_.cpu_seconds = cpu_seconds() - cpu_at_start_;
  std::puts("STOP");
  std::fflush(stdout);
}

void Report::print(const Options& options) {
  std::ranges::sort(latencies);
  const auto quantile = [this](double share) {
    return latencies.empty()
               ? 0.0
               : static_cast<double>(latencies[static_cast<size_t>(share * static_cast<double>(latencies.size() - 1))]);
  };
  std::printf(R"({"mode": "%s", "done": %zu, "seconds": %.4f, "cpu_seconds": %.4f, "bytes": %llu, )"
              R"("p50_us": %.2f, "p90_us": %.2f, "p99_us": %.2f, "p999_us": %.2f, "max_us": %.2f, "failed": {)",
              options.mode.c_str(), latencies.size(), seconds, cpu_seconds, static_cast<unsigned long long>(bytes),
              quantile(0.5), quantile(0.9), quantile(0.99), quantile(0.999), quantile(1));
  const char* separator = "";
  for (const auto& [reason, count] : failed) {
    std::printf(R"(%s"%s": %llu)", separator, reason.c_str(), static_cast<unsigned long long>(count));
    separator = ", ";
  }
  std::puts("}}");
}

}  // namespace load

int main(int argc, char** argv) {
  const load::Options options = load::parse(argc, argv);
  load::Report report = load::run(options);
  report.print(options);
}
