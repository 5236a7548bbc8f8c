// HTTP requests over non-blocking connections, in three disciplines:
//   http     closed loop: each connection sends its next request as soon as it has the answer
//   rate     open loop: requests are due at fixed instants, whoever is late; latency counts from the instant
//   newconn  closed loop, a new connection for each request; latency counts from connect()
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string_view>
#include <utility>

#include "bench/load/load.h"

namespace load {
namespace {

constexpr std::string_view kRequest = "GET / HTTP/1.1\r\nHost: backend\r\n\r\n";
constexpr std::string_view kLastRequest = "GET / HTTP/1.1\r\nHost: backend\r\nConnection: close\r\n\r\n";
constexpr auto kLongestWait = std::chrono::milliseconds(20);      // a server that says nothing must not stretch a run
constexpr auto kWaitAfterFailure = std::chrono::milliseconds(1);  // where each connect is refused at once, do not spin

enum class State { kClosed, kConnecting, kIdle, kWaiting, kAwaitingEnd };

struct Client {
  int fd = -1;
  State state = State::kClosed;
  Clock::time_point since;  // what latency counts from
  std::string head;         // of the answer, until its end is seen
  size_t body_left = 0;
};

class Requests {
 public:
  explicit Requests(const Options& options)
      : options_(options),
        new_connections_(options.mode == "newconn"),
        open_loop_(options.mode == "rate"),
        request_(new_connections_ && options.server_closes ? kLastRequest : kRequest),
        clients_(static_cast<size_t>(options.connections)) {}

  Report run() {
    if (!new_connections_) connect_all();
    start_ = Clock::now();
    if (options_.total != 0) {
      const Measured measured(report_);
      begin_all();
      while (done_ < options_.total) turn();
    } else {
      begin_all();
      measure_by_time(options_, report_, [this] { turn(); });
    }
    for (Client& client : clients_) drop(client);
    return std::move(report_);
  }

 private:
  void connect_all() {
    for (Client& client : clients_) {
      client.fd = connect_or_die(options_);
      watch(EPOLL_CTL_ADD, client, EPOLLIN);
      client.state = State::kIdle;
    }
  }

  void begin_all() {
    for (Client& client : clients_) {
      if (open_loop_)
        idle_.push_back(&client);
      else
        begin(client);
    }
  }

  void turn() {
    if (open_loop_) send_due();
    for (Client* client : std::exchange(failed_, {})) begin(*client);
    poll();
  }

  bool may_begin() const { return options_.total == 0 || begun_ < options_.total; }

  // The client's next request, on a new connection where it has none.
  void begin(Client& client) {
    if (!may_begin()) return;
    ++begun_;
    client.since = Clock::now();
    if (client.state == State::kClosed)
      dial(client);
    else
      send(client);
  }

  void dial(Client& client) {
    client.fd = start_connect(options_);
    if (client.fd < 0) return fail(client, std::string("connect: ") + std::strerror(-client.fd));
    client.state = State::kConnecting;
    watch(EPOLL_CTL_ADD, client, EPOLLOUT);
  }

  void send(Client& client) {
    client.state = State::kWaiting;
    client.head.clear();
    client.body_left = 0;
    if (::send(client.fd, request_.data(), request_.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request_.size()))
      fail(client, reason(errno));
  }

  void send_due() {
    const auto now = Clock::now();
    for (; due(next_) <= now; ++next_) backlog_.push_back(due(next_));
    while (!backlog_.empty() && !idle_.empty()) {
      Client& client = *idle_.back();
      idle_.pop_back();
      client.since = backlog_.front();
      backlog_.pop_front();
      if (client.state == State::kClosed)
        dial(client);
      else
        send(client);
    }
  }

  Clock::time_point due(uint64_t number) const {
    return start_ + seconds_of(static_cast<double>(number) / options_.rate);
  }

  void poll() {
    auto until = Clock::now() + (failed_.empty() ? kLongestWait : kWaitAfterFailure);
    if (open_loop_) until = std::min(until, due(next_));
    const auto left = std::max(until - Clock::now(), Clock::duration::zero());
    const timespec wait{.tv_sec = 0, .tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count()};
    std::array<epoll_event, 256> events{};
    const int count = epoll_pwait2(epoll_, events.data(), events.size(), &wait, nullptr);
    for (int i = 0; i < count; ++i) handle(*static_cast<Client*>(events[i].data.ptr));
    if (Clock::now() >= next_timeout_scan_) fail_late_ones();
  }

  void handle(Client& client) {
    if (client.state == State::kConnecting) return connected(client);
    if (client.state == State::kClosed) return;
    receive(client);
  }

  void connected(Client& client) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(client.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return fail(client, std::string("connect: ") + std::strerror(error));
    watch(EPOLL_CTL_MOD, client, EPOLLIN);
    send(client);
  }

  void receive(Client& client) {
    std::array<char, 64 * 1024> buffer;
    const ssize_t got = recv(client.fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got == 0 && client.state == State::kAwaitingEnd) return finish(client);
    if (got <= 0) return fail(client, got == 0 ? "closed" : reason(errno));
    std::string_view bytes(buffer.data(), static_cast<size_t>(got));
    report_.bytes += bytes.size();
    if (client.body_left == 0) bytes = take_head(client, bytes);
    client.body_left -= std::min(client.body_left, bytes.size());
    if (client.body_left == 0 && client.head.empty()) answered(client);
  }

  // Returns what follows the head; while the head is incomplete it is kept, and nothing follows.
  static std::string_view take_head(Client& client, std::string_view bytes) {
    client.head += bytes;
    const size_t end = client.head.find("\r\n\r\n");
    if (end == std::string::npos) return {};
    client.body_left = body_length(std::string_view(client.head).substr(0, end));
    bytes.remove_prefix(bytes.size() - (client.head.size() - end - 4));
    client.head.clear();
    return bytes;
  }

  void answered(Client& client) {
    report_.latencies.push_back(static_cast<float>(Microseconds(Clock::now() - client.since).count()));
    ++done_;
    if (new_connections_ && options_.server_closes)
      client.state = State::kAwaitingEnd;
    else
      finish(client);
  }

  // The client is free for its next request.
  void finish(Client& client) {
    if (new_connections_)
      drop(client);
    else
      client.state = State::kIdle;
    if (open_loop_)
      idle_.push_back(&client);
    else
      begin(client);
  }

  void fail(Client& client, const std::string& why) {
    ++report_.failed[why];
    ++done_;
    drop(client);
    (open_loop_ ? idle_ : failed_).push_back(&client);
  }

  void fail_late_ones() {
    const auto now = Clock::now();
    next_timeout_scan_ = now + std::chrono::milliseconds(200);
    const auto limit = seconds_of(options_.timeout_s);
    for (Client& client : clients_) {
      const bool waits = client.state != State::kClosed && client.state != State::kIdle;
      if (waits && now - client.since > limit)
        fail(client, client.state == State::kConnecting ? "connect: timeout" : "timeout");
    }
  }

  static void drop(Client& client) {
    if (client.fd >= 0) close(client.fd);
    client.fd = -1;
    client.state = State::kClosed;
  }

  static std::string reason(int error) {
    return error == ECONNRESET || error == EPIPE ? "reset" : std::strerror(error);
  }

  void watch(int operation, Client& client, uint32_t events) const {
    epoll_event event{.events = events, .data = {.ptr = &client}};
    epoll_ctl(epoll_, operation, client.fd, &event);
  }

  const Options& options_;
  const bool new_connections_;
  const bool open_loop_;
  const std::string_view request_;
  std::vector<Client> clients_;
  std::vector<Client*> idle_;              // open loop: who may take the next request
  std::vector<Client*> failed_;            // closed loop: who tries anew in the next turn
  std::deque<Clock::time_point> backlog_;  // open loop: due and not sent
  uint64_t next_ = 0;
  uint64_t begun_ = 0;
  uint64_t done_ = 0;
  Clock::time_point start_;  // of the open loop's schedule
  Clock::time_point next_timeout_scan_;
  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  Report report_;
};

}  // namespace

size_t body_length(std::string_view head) {
  constexpr std::string_view kName = "\r\ncontent-length: ";
  const auto same = [](char one, char other) { return (one >= 'A' && one <= 'Z' ? one + 32 : one) == other; };
  const auto found = std::ranges::search(head, kName, same);
  return found.empty() ? 0 : std::strtoul(&*found.end(), nullptr, 10);
}

Report run_requests(const Options& options) { return Requests(options).run(); }

}  // namespace load
