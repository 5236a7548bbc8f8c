#include "cli/dashboard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <deque>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "cli/agent_client.h"
#include "cli/dashboard_data.h"
#include "cli/dashboard_page.h"
#include "cli/output.h"
#include "common/unique_fd.h"

namespace leat::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kWindow{10};   // what the page shows was measured over this time
constexpr std::chrono::seconds kPatience{2};  // with a browser that does not say what it wants
constexpr size_t kLongestHead = 16 * 1024;

struct Answer {
  const char* status = "200 OK";
  const char* type = "text/plain";
  std::string body;
  std::string policy = "default-src 'none'";
};

class Dashboard {
 public:
  explicit Dashboard(Target agent) : agent_(std::move(agent)) {}

  Answer page() {
    std::array<uint64_t, 2> random{};
    static_cast<void>(getrandom(random.data(), sizeof random, 0));
    const std::string nonce = fmt::format("{:016x}{:016x}", random[0], random[1]);
    std::string body(kDashboardPage);
    constexpr std::string_view kPlace = "@NONCE@";
    for (size_t at = 0; (at = body.find(kPlace, at)) != std::string::npos;) body.replace(at, kPlace.size(), nonce);
    return {.type = "text/html; charset=utf-8",
            .body = std::move(body),
            .policy = fmt::format(
                "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'", nonce)};
  }

  Answer data() {
    v1::ApiRequest counters, mesh;
    counters.mutable_stats();
    mesh.mutable_services();
    Result<v1::ApiReply> now = ask(counters);
    Result<v1::ApiReply> model = now ? ask(mesh) : std::unexpected(now.error());
    if (!model) return {.status = "502 Bad Gateway", .body = model.error().message};
    const Clock::time_point taken = Clock::now();
    while (snapshots_.size() > 1 && taken - snapshots_[1].taken >= kWindow) snapshots_.pop_front();
    Json json = dashboard_json(*model, {}, {}, 0);
    if (!snapshots_.empty()) {
      const double seconds = std::chrono::duration<double>(taken - snapshots_.front().taken).count();
      const Counters& before = snapshots_.front().reply.counters();
      json = dashboard_json(*model, edges_between(before, now->counters(), seconds),
                            routes_between(before, now->counters(), seconds), seconds);
    }
    json["incomplete"] = now->error();
    if (snapshots_.empty() || taken - snapshots_.back().taken >= std::chrono::milliseconds(500))
      snapshots_.push_back({std::move(*now), taken});
    return {.type = "application/json", .body = json.dump(-1, ' ', false, Json::error_handler_t::replace)};
  }

 private:
  struct Snapshot {
    v1::ApiReply reply;
    Clock::time_point taken;
  };
  // One conversation for as long as it goes well: through a cluster's API server its beginning costs a second.
  Result<v1::ApiReply> ask(const v1::ApiRequest& request) {
    if (!client_) {
      LEAT_TRY(AgentClient client, AgentClient::connect(agent_));
      client_.emplace(std::move(client));
    }
    Result<v1::ApiReply> reply = client_->ask(request);
    if (!reply) client_.reset();
    return reply;
  }

  Target agent_;
  std::optional<AgentClient> client_;
  std::deque<Snapshot> snapshots_;  // the oldest is kWindow old
};

Result<std::pair<UniqueFd, uint16_t>> listen_on_loopback(uint16_t port) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener.get(), 16) != 0)
    return fail_errno(errno, "listening on 127.0.0.1:{}", port);
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return std::pair(std::move(listener), ntohs(address.sin_port));
}

// The head of a request; empty where none comes in time.
std::string read_head(int browser) {
  std::string head;
  const auto deadline = Clock::now() + kPatience;
  while (head.find("\r\n\r\n") == std::string::npos && head.size() < kLongestHead) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd ready{browser, POLLIN, 0};
    std::array<char, 4096> piece;
    if (left <= 0 || ::poll(&ready, 1, static_cast<int>(left)) <= 0) return {};
    const ssize_t size = ::recv(browser, piece.data(), piece.size(), 0);
    if (size <= 0) return {};
    head.append(piece.data(), static_cast<size_t>(size));
  }
  return head;
}

std::string field(std::string_view head, std::string_view name) {
  for (size_t at = head.find("\r\n"); at != std::string_view::npos && at + 2 < head.size();
       at = head.find("\r\n", at + 2)) {
    const std::string_view line = head.substr(at + 2, head.find("\r\n", at + 2) - at - 2);
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    const bool same = std::ranges::equal(line.substr(0, name.size()), name,
                                         [](char left, char right) { return std::tolower(left) == right; });
    const size_t value = line.find_first_not_of(' ', name.size() + 1);
    if (same && value != std::string_view::npos) return std::string(line.substr(value));
  }
  return {};
}

// A page of somebody else's that the browser has open must not read this one by a name that leads here.
bool is_for_us(std::string_view head, uint16_t port) {
  const std::string host = field(head, "host");
  return host == fmt::format("127.0.0.1:{}", port) || host == fmt::format("localhost:{}", port);
}

Answer answer_to(std::string_view head, uint16_t port, Dashboard& dashboard) {
  if (!is_for_us(head, port)) return {.status = "403 Forbidden", .body = "this is for 127.0.0.1 only"};
  if (head.starts_with("GET / ")) return dashboard.page();
  if (head.starts_with("GET /data ")) return dashboard.data();
  return {.status = "404 Not Found", .body = "there is / and /data"};
}

void serve(int browser, uint16_t port, Dashboard& dashboard) {
  const std::string head = read_head(browser);
  if (head.empty()) return;
  const Answer answer = answer_to(head, port, dashboard);
  const std::string text = fmt::format(
      "HTTP/1.1 {}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncontent-security-policy: {}\r\ncache-control: "
      "no-store\r\n"
      "x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n{}",
      answer.status, answer.type, answer.body.size(), answer.policy, answer.body);
  for (size_t at = 0; at < text.size();) {
    const ssize_t sent = ::send(browser, text.data() + at, text.size() - at, MSG_NOSIGNAL);
    if (sent <= 0) return;
    at += static_cast<size_t>(sent);
  }
}

}  // namespace

int dashboard(const DashboardOptions& options) {
  auto listener = listen_on_loopback(options.port);
  if (!listener) {
    complain(listener.error().message, "is another program there? choose a port with --port");
    return kWrongUsage;
  }
  const auto& [socket, port] = *listener;
  print(fmt::format("http://127.0.0.1:{}/   (Ctrl-C ends it)\n", port));
  Dashboard dashboard(options.agent);
  for (;;) {
    const UniqueFd browser(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (browser) serve(browser.get(), port, dashboard);
  }
}

}  // namespace leat::cli
