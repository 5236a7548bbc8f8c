// The load generator's modes and what they share. One thread, no library: what it costs must be small beside what it
// measures.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace load {

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

struct Options {
  std::string mode;
  sockaddr_storage target{};
  socklen_t target_length = 0;
  int connections = 64;
  double seconds = 2;  // how long; for all but idle
  double warm_s = 0;   // before that: the same work, not counted
  uint64_t total = 0;  // requests, dial: stop after so many instead, without a warm-up; 0: by time
  double rate = 3000;  // rate: requests a second
  bool server_closes =
      false;  // newconn, dial, connect: ask for the end and await it, so that no port of ours rests in TIME_WAIT
  bool http = false;      // idle: the exchange is a request, not an echoed byte
  double timeout_s = 15;  // a request or connect that takes longer has failed
};

// What a run measured. Latencies are microseconds. What failed is counted and tried anew: a run always goes to its end.
struct Report {
  std::vector<float> latencies;
  uint64_t bytes = 0;
  double seconds = 0;
  double cpu_seconds = 0;                  // of this process
  std::map<std::string, uint64_t> failed;  // by reason: "connect: Connection refused", "reset", "closed", "timeout"

  void print(const Options& options);  // one JSON line
};

// Brackets what is measured: prints START and STOP, so that an observer can read CPU times at these instants.
class Measured {
 public:
  explicit Measured(Report& report);
  ~Measured();
  Measured(const Measured&) = delete;
  Measured& operator=(const Measured&) = delete;

 private:
  Report& report_;
  Clock::time_point start_;
  double cpu_at_start_;
};

inline Clock::duration seconds_of(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// Takes `turn` over and over: through the warm-up, of which only the failures are kept, then through the time that
// counts.
template <typename Turn>
void measure_by_time(const Options& options, Report& report, Turn turn) {
  const auto warm_until = Clock::now() + seconds_of(options.warm_s);
  while (Clock::now() < warm_until) turn();
  report.latencies.clear();
  report.bytes = 0;
  const Measured measured(report);
  const auto end = Clock::now() + seconds_of(options.seconds);
  while (Clock::now() < end) turn();
}

// What a whole head says of its body's length, in whichever case a proxy writes it; 0 where it says nothing.
size_t body_length(std::string_view head);

// A non-blocking socket whose connect has begun; negative errno where it failed at once.
int start_connect(const Options& options);
// A connected, blocking socket; exits the program with a message where that fails.
int connect_or_die(const Options& options);

Report run_requests(const Options& options);  // http, rate, newconn
Report run_dial(const Options& options);      // connect and one echoed byte, one at a time
Report run_connect(const Options& options);   // what the calls socket() and connect() take, one at a time
Report run_bulk(const Options& options);      // bulk-up, bulk-down
Report run_idle(
    const Options& options);  // opens connections, proves them, holds them until stdin ends, proves them again

}  // namespace load
