// An HTTP/2 client's requests, end to end: each for itself, whatever its server speaks.
#include <future>
#include <latch>

#include "tests/unit/userspace-proxy/flow/http2_peer.h"
#include "userspace-proxy/grpc/grpc.h"

namespace leat::proxy::test {

// ---------------------------------------------------------------- a server that speaks HTTP/1.1 only

TEST_CASE("a client of HTTP/2 is answered by a server of HTTP/1.1: head, body and trailers") {
  for (const Pod& pod : {kNear, kFar}) {
    for_both_backends([&](ring::BackendKind backend) {
      CAPTURE(pod.name);
      Web web(backend, {pod});
      const Http1Only server(pod, [](const std::string& request) {
        CHECK(request.starts_with("GET /?q=1 HTTP/1.1\r\n"));
        CHECK(request.find("cookie: a=1; b=2\r\n") != std::string::npos);  // HTTP/2 sends crumbs of it
        return "HTTP/1.1 200 OK\r\nx-of: server\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n" +
               chunk("hello") + chunk(" there") + "0\r\nx-sum: 7\r\n\r\n";
      });
      web.start();
      Http2Client client(web.connect());
      for (int i = 0; i < 3; ++i) {
        const Message& answer = client.peer.answer(
            client.peer.ask("GET /?q=1 HTTP/1.1\r\nhost: web\r\ncookie: a=1\r\ncookie: b=2\r\n\r\n"));
        CHECK(answer.whole);
        CHECK(answer.is("200\n"));
        CHECK(answer.says("x-of: server"));
        CHECK(answer.body == "hello there");
        CHECK(answer.trailers == "x-sum: 7\n");
      }
      CHECK(server.offers() == 1);  // it is not asked again what it speaks
    });
  }
}

TEST_CASE("an interim response of a server of HTTP/1.1 reaches a client of HTTP/2 before the final one is there") {
  Web web(ring::BackendKind::kIoUring, {kNear});
  std::promise<void> seen;
  const Server server(kNear.ip, 8080, [&](UniqueFd connection, SocketAddress) {
    const std::string head = read_head(connection);
    if (head.starts_with("PRI ")) return send_all(connection, "HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n");
    if (head.empty()) return;
    send_all(connection, "HTTP/1.1 103 Early\r\nlink: </x>\r\n\r\n");
    CHECK(seen.get_future().wait_for(10s) == std::future_status::ready);
    send_all(connection, ok("late"));
  });
  web.start();
  Http2Client client(web.connect());
  Message& answer = client.peer.ask("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
  CHECK(client.peer.run([&] { return answer.head == "103\nlink: </x>\n"; }));
  seen.set_value();
  CHECK(client.peer.answer(answer).body == "late");
}

TEST_CASE(
    "a body of unknown length reaches a server of HTTP/1.1 in chunks, with its trailers, and as much comes back") {
  for (const Pod& pod : {kNear, kFar}) {
    CAPTURE(pod.name);
    Web web(ring::BackendKind::kIoUring, {pod});
    const std::string body = pattern(700'000);
    std::promise<std::string> heard;
    const Server server(pod.ip, 8080, [&](UniqueFd connection, SocketAddress) {
      const std::string head = read_head(connection);
      if (head.starts_with("PRI ")) return send_all(connection, "HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n");
      if (head.empty()) return;
      CHECK(head.find("transfer-encoding: chunked\r\n") != std::string::npos);
      heard.set_value(read_chunks(connection));
      send_all(connection, ok(body));
    });
    web.start();
    Http2Client client(web.connect());
    Message& answer = client.post(body);
    CHECK(answer.whole);
    CHECK(answer.is("200\n"));
    CHECK(answer.body == body);
    CHECK(heard.get_future().get() == body);
  }
}

TEST_CASE("a slow client of HTTP/2 holds its server of HTTP/1.1 back") {
  Web web(ring::BackendKind::kIoUring, {kNear});
  constexpr size_t kBytes = 64u << 20;
  std::atomic<size_t> sent = 0;
  const Server server(kNear.ip, 8080, [&](UniqueFd connection, SocketAddress) {
    const std::string head = read_head(connection);
    if (head.starts_with("PRI ")) return send_all(connection, "HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n");
    if (head.empty()) return;
    send_all(connection, "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(kBytes) + "\r\n\r\n");
    const std::string piece = pattern(65536);
    while (sent < kBytes) {
      if (send(connection.get(), piece.data(), piece.size(), MSG_NOSIGNAL) <= 0) return;
      sent += piece.size();
    }
  });
  web.start();
  Http2Client client(web.connect());
  Message& answer = client.peer.ask("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
  CHECK(client.peer.run([&] { return !answer.head.empty(); }));
  // The client reads no more: what the sockets and windows hold is all that leaves the server.
  size_t seen = 0;
  for (int quiet = 0; quiet < 10; quiet = seen == sent ? quiet + 1 : 0) {
    seen = sent;
    std::this_thread::sleep_for(20ms);
  }
  CHECK(seen < kBytes / 2);
  CHECK(client.peer.run([&] { return answer.over(); }, 60s));
  CHECK(answer.body.size() == kBytes);
}

TEST_CASE("a request that its client gives up ends at the server of HTTP/1.1") {
  Web web(ring::BackendKind::kIoUring, {kNear});
  std::promise<void> asked;
  std::promise<std::string> end;
  const Server server(kNear.ip, 8080, [&](UniqueFd connection, SocketAddress) {
    const std::string head = read_head(connection);
    if (head.starts_with("PRI ")) return send_all(connection, "HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n");
    if (head.empty()) return;
    asked.set_value();
    end.set_value(read_all(connection));
  });
  web.start();
  Http2Client client(web.connect());
  Message& answer = client.peer.ask("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
  auto is_asked = asked.get_future();
  CHECK(client.peer.run([&] { return is_asked.wait_for(0s) == std::future_status::ready; }));
  client.peer.reset(answer, http2::ResetCode::kCancel);
  auto ended = end.get_future();
  CHECK(ended.wait_for(10s) == std::future_status::ready);
}

TEST_CASE("a server of HTTP/1.1 that dies over a request of HTTP/2 is a 503 before its answer, a reset within it") {
  Web web(ring::BackendKind::kIoUring, {kNear});
  std::string first_words;
  bool answered = false;
  SUBCASE("before") {}
  SUBCASE("within") {
    first_words = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun";
    answered = true;
  }
  const Server server(kNear.ip, 8080, [&](UniqueFd connection, SocketAddress) {
    const std::string head = read_head(connection);
    if (head.starts_with("PRI ")) return send_all(connection, "HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n");
    if (!head.empty()) send_all(connection, first_words);
  });
  web.start();
  Http2Client client(web.connect());
  const Message& answer = client.post("x");
  CHECK(answer.is(answered ? "200\n" : "503\n"));
  CHECK(answer.reset.has_value() == answered);
}

TEST_CASE("streams of one client go to a server of HTTP/1.1 at once, a connection each") {
  Web web(ring::BackendKind::kIoUring, {kNear});
  std::latch all(3);
  const Http1Only server(kNear, [&](const std::string&) {
    all.arrive_and_wait();
    return ok("together");
  });
  web.start();
  Http2Client client(web.connect());
  std::vector<Message*> answers;
  for (int i = 0; i < 3; ++i) answers.push_back(&client.peer.ask("GET / HTTP/1.1\r\nhost: web\r\n\r\n"));
  for (Message* answer : answers) CHECK(client.peer.answer(*answer).body == "together");
}

TEST_CASE("a gRPC call to a server of HTTP/1.1 is told why it can't be, and never sent") {
  for (const bool by_policy : {false, true}) {
    CAPTURE(by_policy);
    Web web(ring::BackendKind::kIoUring, {kNear});
    if (by_policy) {
      Node::set_policy(web.service, v1::LB_LEAST_REQUEST)
          ->mutable_limits()
          ->set_h2_upgrade(v1::H2_UPGRADE_DO_NOT_UPGRADE);
    }
    std::atomic<int> requests = 0;
    const Http1Only server(kNear, [&](const std::string&) {
      ++requests;
      return ok("no gRPC");
    });
    web.start();
    Http2Client client(web.connect());
    const Message& answer = client.call();
    CHECK(answer.is("200\n"));
    CHECK(answer.says("grpc-status: 12\n"));
    CHECK(answer.says("HTTP/1.1"));
    CHECK(answer.says("leat-reason: not-http2"));
    CHECK(requests == 0);
  }
}

TEST_CASE("a server that closes before it says that it speaks HTTP/2 has seen no request: another one gets it") {
  Web web(ring::BackendKind::kIoUring, {kNear, kFar}, v1::PROTOCOL_HTTP2);
  const Server dying(kNear.ip, 8080, [](UniqueFd connection, SocketAddress) { (void)read_head(connection); });
  const Http2Server working(kFar, [](Http2Peer& peer, Message& request) { peer.respond(request, kOk2, "good"); });
  web.start();
  Http2Client client(web.connect());
  while (dying.accepted() == 0) CHECK(client.post("once").body == "good");
}

// ---------------------------------------------------------------- what a port speaks

TEST_CASE("a DestinationRule says which HTTP a server is spoken to in") {
  struct Case {
    v1::H2Upgrade upgrade;
    bool keep;  // useClientProtocol
    bool client_speaks_http2;
    bool server_hears_http2;
  };
  for (const Case& each :
       {Case{v1::H2_UPGRADE_UPGRADE, false, false, true}, Case{v1::H2_UPGRADE_UPGRADE, false, true, true},
        Case{v1::H2_UPGRADE_DO_NOT_UPGRADE, false, true, false},
        Case{v1::H2_UPGRADE_DO_NOT_UPGRADE, false, false, false}, Case{v1::H2_UPGRADE_UPGRADE, true, false, false},
        Case{v1::H2_UPGRADE_DO_NOT_UPGRADE, true, true, true}, Case{v1::H2_UPGRADE_DEFAULT, false, true, true},
        Case{v1::H2_UPGRADE_DEFAULT, false, false, false}}) {
    CAPTURE(static_cast<int>(each.upgrade));
    CAPTURE(each.keep);
    CAPTURE(each.client_speaks_http2);
    Web web(ring::BackendKind::kIoUring, {kNear});
    v1::ConnectionLimits* limits = Node::set_policy(web.service, v1::LB_LEAST_REQUEST)->mutable_limits();
    limits->set_h2_upgrade(each.upgrade);
    limits->set_use_client_protocol(each.keep);
    std::atomic<bool> over = false;
    // It speaks both.
    const Server server(kNear.ip, 8080, [&](UniqueFd connection, SocketAddress) {
      char first = 0;
      if (recv(connection.get(), &first, 1, MSG_PEEK) != 1) return;
      if (first == 'P') {
        Http2Peer peer(Http2Peer::Role::kServer, connection);
        while (Message* request = peer.next([&] { return over.load(); })) peer.respond(*request, kOk2, "2");
      } else if (!read_head(connection).empty()) {
        send_all(connection, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n1");
      }
    });
    web.start();
    std::string heard;
    if (each.client_speaks_http2) {
      Http2Client client(web.connect());
      heard = client.get().body;
    } else {
      const UniqueFd client = web.connect();
      send_all(client, kGet);
      const std::string answer = read_head(client);
      heard = answer.find("chunked") != std::string::npos ? read_chunks(client) : read_some(client, 1);
    }
    CHECK(heard == (each.server_hears_http2 ? "2" : "1"));
    over = true;
  }
}

// ---------------------------------------------------------------- what was not processed

TEST_CASE("a stream that its server refuses is asked of another one, even a POST") {
  for (const Pod& refusing : {kNear, kFar}) {
    CAPTURE(refusing.name);
    Web web(ring::BackendKind::kIoUring, {kNear, kFar}, v1::PROTOCOL_HTTP2);
    std::atomic<int> refused = 0;
    std::atomic<int> served = 0;
    const Http2Server no(refusing, [&](Http2Peer& peer, Message& request) {
      ++refused;
      peer.reset(request, http2::ResetCode::kRefusedStream);
    });
    const Http2Server yes(refusing.name == "near" ? kFar : kNear, [&](Http2Peer& peer, Message& request) {
      CHECK(request.body == "once");
      ++served;
      peer.respond(request, kOk2, "good");
    });
    web.start();
    Http2Client client(web.connect());
    int asked = 0;
    for (; refused == 0; ++asked) CHECK(client.post("once").body == "good");
    CHECK(served == asked);
  }
}

TEST_CASE("what a server leaves unprocessed at its GOAWAY is asked of another one") {
  Web web(ring::BackendKind::kIoUring, {kNear, kFar}, v1::PROTOCOL_HTTP2);
  std::atomic<int> left = 0;
  // Reads a request and says that it has looked at none.
  const Server leaving(kNear.ip, 8080, [&](UniqueFd connection, SocketAddress) {
    using namespace leat::test;
    (void)read_some(connection, kPreface.size());
    send_all(connection, settings({}) + frame(kSettings, kAck, 0, ""));
    for (;;) {
      const std::string header = read_some(connection, 9);
      if (header.size() < 9) return;
      const auto byte = [&](size_t at) { return static_cast<uint8_t>(header[at]); };
      const size_t size = size_t{byte(0)} << 16 | size_t{byte(1)} << 8 | byte(2);
      if (size > 0) (void)read_some(connection, size);
      if (byte(3) != kHeaders) continue;
      ++left;
      send_all(connection, frame(kGoaway, kNoFlags, 0, big_endian(0, 4) + big_endian(0, 4)));
      (void)read_all(connection);
      return;
    }
  });
  const Http2Server working(kFar, [](Http2Peer& peer, Message& request) { peer.respond(request, kOk2, "good"); });
  web.start();
  Http2Client client(web.connect());
  while (left == 0) CHECK(client.post("once").body == "good");
}

// ---------------------------------------------------------------- gRPC replies that failed

namespace {

// A Service of two gRPC servers, of which the one at `failing` answers as `fail` does, the other well.
struct Calls : Web {
  std::atomic<int> failed = 0;
  Http2Server bad, good;
  Calls(const Pod& failing, Http2Server::Respond fail)
      : Web(ring::BackendKind::kIoUring, {kNear, kFar}, v1::PROTOCOL_HTTP2),
        bad(failing,
            [this, fail = std::move(fail)](Http2Peer& peer, Message& request) {
              ++failed;
              fail(peer, request);
            }),
        good(failing.name == "near" ? kFar : kNear, [](Http2Peer& peer, Message& request) {
          peer.respond(request, kGrpcOk, std::string(5, '\0'), {{"grpc-status", "0"}});
        }) {}
};

const std::string kMessage = std::string("\0\0\0\0\3abc", 8);

}  // namespace

TEST_CASE("a unary reply whose trailers say that it failed is tried elsewhere, whatever came before them") {
  for (const std::string& body : {std::string(), kMessage}) {
    CAPTURE(body.size());
    Calls calls(kNear, [&](Http2Peer& peer, Message& request) {
      peer.respond(request, kGrpcOk, body, {{"grpc-status", "14"}});
    });
    calls.start();
    Http2Client client(calls.connect());
    while (calls.failed == 0) {
      const Message& answer = client.call();
      CHECK(answer.trailers == "grpc-status: 0\n");
      CHECK(answer.body == std::string(5, '\0'));
    }
  }
}

TEST_CASE("a reply that is more than a short unary one is delivered as it comes, however it ends") {
  std::string body;
  SUBCASE("two messages") { body = kMessage + kMessage; }
  SUBCASE("a large one") { body = std::string("\0\0\2\0\0", 5) + std::string(0x20000, 'x'); }
  Calls calls(
      kNear, [&](Http2Peer& peer, Message& request) { peer.respond(request, kGrpcOk, body, {{"grpc-status", "14"}}); });
  calls.start();
  Http2Client client(calls.connect());
  for (;;) {
    const Message& answer = client.call();
    if (calls.failed == 0) continue;
    CHECK(answer.body == body);
    CHECK(answer.trailers == "grpc-status: 14\n");
    break;
  }
}

TEST_CASE("a reply that takes its time is not held back for longer than a moment") {
  std::string first;
  SUBCASE("its head alone") {}
  SUBCASE("a first message of a stream") { first = kMessage; }
  std::promise<void> seen;
  auto delivered = seen.get_future().share();
  Calls calls(kNear, [&](Http2Peer& peer, Message& request) {
    peer.begin(request, kGrpcOk);
    if (!first.empty()) peer.more(request, first, false);
    CHECK(delivered.wait_for(10s) == std::future_status::ready);  // it says no more until the client has heard that
    peer.end(request, {{"grpc-status", "14"}});
  });
  calls.start();
  Http2Client client(calls.connect());
  for (bool again = true; again;) {
    Message& answer = client.peer.ask(
        "POST / HTTP/1.1\r\nhost: web\r\ncontent-type: application/grpc\r\nte: trailers\r\n\r\n", std::string(5, '\0'));
    CHECK(client.peer.run([&] { return answer.is("200\n") && (answer.over() || answer.body == first); }));
    again = calls.failed == 0;
    if (again) continue;
    seen.set_value();
    client.peer.answer(answer);
    CHECK(answer.body == first);
    CHECK(answer.trailers == "grpc-status: 14\n");
  }
}

TEST_CASE("a call that is tried again tells the next server how much time is left") {
  std::mutex mutex;
  std::vector<std::string> told;
  const auto remember = [&](const Message& request) {
    const size_t at = request.head.find("grpc-timeout: ");
    const std::scoped_lock lock(mutex);
    told.push_back(request.head.substr(at + 14, request.head.find('\n', at) - at - 14));
  };
  Web web(ring::BackendKind::kIoUring, {kNear}, v1::PROTOCOL_HTTP2);
  const Http2Server server(kNear, [&](Http2Peer& peer, Message& request) {
    remember(request);
    if (told.size() < 3) return peer.respond(request, kGrpcOk, {}, {{"grpc-status", "14"}});
    peer.respond(request, kGrpcOk, kMessage, {{"grpc-status", "0"}});
  });
  web.start();
  Http2Client client(web.connect());
  CHECK(client.call("grpc-timeout: 8S\r\n").trailers == "grpc-status: 0\n");
  REQUIRE(told.size() == 3);
  CHECK(told[0] == "8S");  // as the client said it
  const auto first = *leat::grpc::parse_timeout(told[1]);
  const auto second = *leat::grpc::parse_timeout(told[2]);
  CHECK(first < 8s);
  CHECK(second < first);
  CHECK(second > 1s);
}

// ---------------------------------------------------------------- what `leat flows` shows

TEST_CASE("a connection's record counts its requests, and those that are open") {
  Web web(ring::BackendKind::kIoUring, {kNear}, v1::PROTOCOL_HTTP2);
  std::atomic<bool> hold = false;
  const Http2Server server(kNear, [&](Http2Peer& peer, Message& request) {
    if (!hold) peer.respond(request, kOk2, "good");
  });
  web.start();
  Http2Client client(web.connect());
  for (int i = 0; i < 5; ++i) CHECK(client.get().body == "good");
  hold = true;
  for (int i = 0; i < 2; ++i) client.peer.ask("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
  const auto shown = [&] {
    const std::vector<v1::Flow> flows = web.a.flows(true, false);
    return flows.size() == 1 && flows[0].requests() == 7 && flows[0].requests_open() == 2;
  };
  CHECK(client.peer.run(shown));
}

}  // namespace leat::proxy::test
