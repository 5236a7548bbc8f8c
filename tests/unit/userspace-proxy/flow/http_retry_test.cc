// Tries of a request: which failures a client does not see, how long it waits, and what is never sent twice.
#include <chrono>
#include <future>
#include <mutex>

#include "tests/unit/userspace-proxy/flow/web.h"

namespace leat::proxy::test {
namespace {

// Answers each request with what it says, and remembers the requests.
class Remembering {
 public:
  Remembering(const Pod& pod, std::string response)
      : server_(pod, [this, response = std::move(response)](const std::string& request) {
          const std::scoped_lock lock(mutex_);
          heard_.push_back(request);
          return response;
        }) {}
  std::vector<std::string> heard() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(heard_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> heard_;
  HttpServer server_;
};

const std::string kUnavailable = "HTTP/1.1 503 X\r\ncontent-length: 7\r\n\r\nnot now";
const std::string kPost = "POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 5\r\n\r\nhello";

// The one route of `web`.
v1::HttpRoute* add_route(Web& web) {
  v1::HttpRoute* route = web.service->add_route_tables()->add_routes();
  route->add_destinations()->set_service("shop/web");
  route->mutable_destinations(0)->set_weight(1);
  return route;
}

v1::RetryPolicy* add_retries(Web& web, uint32_t attempts, std::initializer_list<v1::RetryCondition> on) {
  v1::RetryPolicy* retries = add_route(web)->mutable_retries();
  retries->set_attempts(attempts);
  retries->set_backoff_ms(1);
  for (const auto condition : on) retries->add_on(condition);
  return retries;
}

std::string ask(const UniqueFd& client, const std::string& request) {
  send_all(client, request);
  return read_message(client);
}

}  // namespace

TEST_CASE("a 503 and a death without an answer are tried elsewhere, and the client sees the other answer only") {
  for (const auto& [bad, good] : {std::pair{kNear, kFar}, {kFar, kNear}}) {
    for (const std::string& failure : {kUnavailable, std::string()}) {
      for_both_backends([&](ring::BackendKind backend) {
        CAPTURE(bad.name);
        CAPTURE(failure);
        Web web(backend, {kNear, kFar});
        Remembering failing(bad, failure);
        const HttpServer working(good, [](const std::string&) { return ok("good"); });
        web.start();
        const UniqueFd client = web.connect();
        while (failing.heard().empty()) CHECK(ask(client, kGet) == ok("good"));  // it is asked first half of the times
      });
    }
  }
}

TEST_CASE("what may change something is sent once, unless an object says otherwise") {
  Web web(ring::BackendKind::kIoUring, {kNear, kFar});
  Remembering near(kNear, kUnavailable);
  Remembering far(kFar, kUnavailable);
  size_t tries = 1;
  SUBCASE("nobody says anything") {}
  SUBCASE("an object does") {
    add_retries(web, 1, {v1::RETRY_5XX});
    tries = 2;
  }
  web.start();
  const UniqueFd client = web.connect();
  CHECK(ask(client, kPost) == kUnavailable);
  const std::vector<std::string> heard = near.heard();
  CHECK(heard.size() + far.heard().size() == tries);
}

TEST_CASE("an answer that exhausts the tries is delivered as it is, and the flow counts the tries") {
  Web web(ring::BackendKind::kIoUring, {kNear, kFar});
  Remembering near(kNear, kUnavailable);
  Remembering far(kFar, kUnavailable);
  add_retries(web, 3, {v1::RETRY_5XX});
  web.start();
  const UniqueFd client = web.connect();
  CHECK(ask(client, kGet) == kUnavailable);
  CHECK(near.heard().size() == 2);  // all before any again
  CHECK(far.heard().size() == 2);
  CHECK(web.a.flows(true, false).at(0).attempts() == 4);
  CHECK(web.a.counter("leat_http_retries_total") == 3);
}

TEST_CASE("a body is sent again as it was: with its head, after it, in chunks") {
  for_both_backends([](ring::BackendKind backend) {
    Web web(backend, {kNear, kFar});
    const std::string body = pattern(60'000);
    std::mutex mutex;
    std::vector<std::string> heard;
    const auto serve = [&](UniqueFd connection, SocketAddress) {
      for (std::string head = read_head(connection); !head.empty(); head = read_head(connection)) {
        const bool chunked = head.find("transfer-encoding: chunked") != std::string::npos;
        std::string got = chunked ? read_chunks(connection) : read_some(connection, body.size());
        size_t count = 0;
        {
          const std::scoped_lock lock(mutex);
          heard.push_back(std::move(got));
          count = heard.size();
        }
        send_all(connection, count % 2 == 1 ? kUnavailable : ok("second"));
      }
    };
    const Server near(kNear.ip, 8080, serve);
    const Server far(kFar.ip, 8080, serve);
    add_retries(web, 1, {v1::RETRY_5XX});
    web.start();
    {
      const UniqueFd client = web.connect();
      const std::string length = "POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 60000\r\n\r\n";
      CHECK(ask(client, length + body) == ok("second"));
      send_all(client, "POST / HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\n");
      for (size_t at = 0; at < body.size(); at += 1000) send_all(client, chunk(body.substr(at, 1000)));
      CHECK(ask(client, "0\r\n\r\n") == ok("second"));
    }
    REQUIRE(heard.size() == 4);
    for (const std::string& each : heard) CHECK((each == body));
    CHECK(web.a.counter("leat_http_replay_bytes") == 0);
  });
}

TEST_CASE("a server that refuses a request before its body has come gives way to another, which gets all of it") {
  for_both_backends([](ring::BackendKind backend) {
    Web web(backend, {kNear, kFar});
    std::promise<void> refused;
    std::atomic<int> requests = 0;
    const auto serve = [&](UniqueFd connection, SocketAddress) {
      read_head(connection);
      if (++requests == 1) {
        CHECK(read_some(connection, 3) == "one");
        send_all(connection, kUnavailable);
        shutdown(connection.get(), SHUT_WR);
        read_all(connection);
        refused.set_value();
      } else {
        send_all(connection, ok(read_some(connection, 6)));
      }
    };
    const Server near(kNear.ip, 8080, serve);
    const Server far(kFar.ip, 8080, serve);
    add_retries(web, 1, {v1::RETRY_5XX});
    web.start();
    const UniqueFd client = web.connect();
    send_all(client, "POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 6\r\n\r\none");
    refused.get_future().get();
    CHECK(ask(client, "two") == ok("onetwo"));
  });
}

TEST_CASE("a body beyond what is kept is sent once") {
  Web web(ring::BackendKind::kIoUring, {kNear});
  std::atomic<int> requests = 0;
  const HttpServer server(kNear, [&](const std::string&) {
    ++requests;
    return kUnavailable;
  });
  add_retries(web, 3, {v1::RETRY_5XX})->set_allow_same_host(true);
  web.start();
  const UniqueFd client = web.connect();
  for (const auto& [size, tries] : {std::pair{65536, 4}, {65537, 1}}) {
    requests = 0;
    CHECK(ask(client, "POST / HTTP/1.1\r\nhost: web\r\ncontent-length: " + std::to_string(size) + "\r\n\r\n" +
                          pattern(static_cast<size_t>(size))) == kUnavailable);
    CHECK(requests == tries);
  }
}

TEST_CASE("after bytes of a response nothing is tried again") {
  Web web(ring::BackendKind::kIoUring, {kNear, kFar});
  std::atomic<int> requests = 0;
  const auto serve = [&](UniqueFd connection, SocketAddress) {
    read_head(connection);
    ++requests;
    send_all(connection, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
  };
  const Server near(kNear.ip, 8080, serve);
  const Server far(kFar.ip, 8080, serve);
  add_retries(web, 3, {v1::RETRY_5XX, v1::RETRY_RESET});
  web.start();
  const UniqueFd client = web.connect();
  send_all(client, kGet);
  CHECK(read_all(client) == "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsomeRESET");
  CHECK(requests == 1);
}

TEST_CASE("a route's timeout is answered with 504, whatever the server does") {
  for (const Pod& pod : {kNear, kFar}) {
    for_both_backends([&](ring::BackendKind backend) {
      Web web(backend, {pod});
      const Server silent(pod.ip, 8080, [](UniqueFd connection, SocketAddress) {
        read_head(connection);
        CHECK_FALSE(read_all(connection) == "never");  // until the proxy ends it
      });
      add_route(web)->set_timeout_ms(100);
      web.start();
      const UniqueFd client = web.connect();
      const auto started = std::chrono::steady_clock::now();
      const std::string answer = ask(client, kGet);
      CHECK(answer.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"));
      CHECK(answer.find("leat-reason: response-timeout\r\n") != std::string::npos);
      CHECK(std::chrono::steady_clock::now() - started >= 100ms);
      CHECK(ask(client, kGet).starts_with("HTTP/1.1 504 "));  // and the connection lives on
    });
  }
}

TEST_CASE("a response that is not over at the timeout is cut off") {
  for (const Pod& pod : {kNear, kFar}) {
    for_both_backends([&](ring::BackendKind backend) {
      Web web(backend, {pod});
      const Server slow(pod.ip, 8080, [](UniqueFd connection, SocketAddress) {
        read_head(connection);
        send_all(connection, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
        read_all(connection);
      });
      add_route(web)->set_timeout_ms(100);
      web.start();
      const UniqueFd client = web.connect();
      send_all(client, kGet);
      CHECK(read_all(client) == "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsomeRESET");
    });
  }
}

TEST_CASE("a try that takes too long is left for another, and the last one is answered with 504") {
  for (const auto& [bad, good] : {std::pair{kNear, kFar}, {kFar, kNear}}) {
    for_both_backends([&](ring::BackendKind backend) {
      Web web(backend, {kNear, kFar});
      const Server silent(bad.ip, 8080, [](UniqueFd connection, SocketAddress) { read_all(connection); });
      const HttpServer working(good, [](const std::string&) { return ok("good"); });
      add_retries(web, 1, {v1::RETRY_RESET})->set_per_try_timeout_ms(150);
      web.start();
      const UniqueFd client = web.connect();
      for (int i = 0; i < 6; ++i) CHECK(ask(client, kGet) == ok("good"));
    });
  }
  Web web(ring::BackendKind::kIoUring, {kNear});
  const Server silent(kNear.ip, 8080, [](UniqueFd connection, SocketAddress) { read_all(connection); });
  add_retries(web, 1, {v1::RETRY_CONNECT_FAILURE})->set_per_try_timeout_ms(50);
  web.start();
  const UniqueFd client = web.connect();
  const std::string answer = ask(client, kGet);
  CHECK(answer.starts_with("HTTP/1.1 504 "));
  CHECK(answer.find("leat-reason: try-timeout\r\n") != std::string::npos);
}

TEST_CASE("the time of a try does not end a response that has begun") {
  Web web(ring::BackendKind::kIoUring, {kNear});
  const Server slow(kNear.ip, 8080, [](UniqueFd connection, SocketAddress) {
    read_head(connection);
    send_all(connection, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
    pollfd ended{connection.get(), POLLIN, 0};
    poll(&ended, 1, 300);  // three times the time of a try
    send_all(connection, "hello");
    read_all(connection);
  });
  add_retries(web, 1, {v1::RETRY_RESET})->set_per_try_timeout_ms(100);
  web.start();
  const UniqueFd client = web.connect();
  CHECK(ask(client, kGet) == "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
}

TEST_CASE("a client that leaves during a pause takes its request with it") {
  Web web(ring::BackendKind::kIoUring, {kNear});
  Remembering server(kNear, kUnavailable);
  v1::RetryPolicy* retries = add_retries(web, 1, {v1::RETRY_5XX});
  retries->set_backoff_ms(3'600'000);
  web.start();
  UniqueFd client = web.connect();
  send_all(client, kGet);
  while (server.heard().empty()) std::this_thread::yield();
  reset(std::move(client));
  while (web.a.flows(false, true).empty()) std::this_thread::yield();
  CHECK(web.a.flows(false, true).at(0).verdict() == "reset");
}

TEST_CASE("interim responses are bounded") {
  Web web(ring::BackendKind::kIoUring, {kNear});
  std::string many;
  for (int i = 0; i < 17; ++i) many += "HTTP/1.1 103 X\r\nlink: </a>\r\n\r\n";
  const HttpServer server(kNear, [&](const std::string&) { return many + ok("late"); });
  v1::RetryPolicy* retries = add_route(web)->mutable_retries();
  retries->set_attempts(0);
  web.start();
  const UniqueFd client = web.connect();
  send_all(client, kGet);
  CHECK(read_head(client).find("leat-reason: bad-response") != std::string::npos);
}

TEST_CASE("local answers keep their reason to themselves where the mesh says so") {
  Web web(ring::BackendKind::kIoUring, {});
  web.a.mesh.mutable_settings()->set_no_reason_header(true);
  web.start();
  const std::string answer = ask(web.connect(), kGet);
  CHECK(answer.starts_with("HTTP/1.1 503 "));
  CHECK(answer.find("leat-reason") == std::string::npos);
}

}  // namespace leat::proxy::test
