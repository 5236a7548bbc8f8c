// HTTP through one proxy and through two: real workers, real sockets, servers that do exactly what a test tells them.
#include <atomic>
#include <future>

#include "tests/unit/userspace-proxy/flow/web.h"

namespace leat::proxy::test {

TEST_CASE("requests of one connection are answered one after the other over one upstream connection") {
  for (const Pod& pod : {kNear, kFar}) {
    for_both_backends([&](ring::BackendKind backend) {
      CAPTURE(pod.name);
      Web web(backend, {pod});
      const HttpServer server(pod, [](const std::string& request) { return ok(request); });
      web.start();
      const UniqueFd client = web.connect();
      for (int i = 0; i < 5; ++i) {
        send_all(client, kGet);
        CHECK(read_message(client) == ok(kGet));
      }
      CHECK(server.accepted() == 1);
      const auto flows = web.a.flows(true, false);
      REQUIRE(flows.size() == 1);
      CHECK(flows[0].protocol() == "http/1.1");
      CHECK(flows[0].requests() == 5);
      CHECK(flows[0].destination_pod() == pod.name);
    });
  }
}

TEST_CASE("bodies of every framing arrive unchanged both ways, and the connections live on") {
  for_both_backends([](ring::BackendKind backend) {
    Web web(backend, {kFar});
    const HttpServer server(kFar, [](const std::string& request) {
      if (request.starts_with("GET /chunked"))
        return std::string(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nchecksum: 7\r\n\r\n");
      if (request.starts_with("HEAD")) return std::string("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
      if (request.starts_with("GET /nothing")) return std::string("HTTP/1.1 204 No Content\r\n\r\n");
      if (request.starts_with("GET /hint"))
        return std::string("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n") + ok("hinted");
      return ok(request);
    });
    web.start();
    const UniqueFd client = web.connect();
    const std::string post = "POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 5\r\n\r\nhello";
    send_all(client, post);
    CHECK(read_message(client) == ok(post));
    send_all(client, "GET /chunked HTTP/1.1\r\nhost: web\r\n\r\n");
    CHECK(read_message(client) == "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    const std::string chunks = "5\r\nhello\r\n0\r\nchecksum: 7\r\n\r\n";
    CHECK(read_some(client, chunks.size()) == chunks);
    send_all(client, "HEAD / HTTP/1.1\r\nhost: web\r\n\r\n");
    CHECK(read_head(client) == "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
    send_all(client, "GET /nothing HTTP/1.1\r\nhost: web\r\n\r\n");
    CHECK(read_head(client) == "HTTP/1.1 204 No Content\r\n\r\n");
    send_all(client, "GET /hint HTTP/1.1\r\nhost: web\r\n\r\n");
    CHECK(read_head(client) == "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    CHECK(read_message(client) == ok("hinted"));
    CHECK(server.accepted() == 1);
  });
}

TEST_CASE("16 MiB each way at once arrive unchanged, chunked one way and counted the other") {
  for (const Pod& pod : {kNear, kFar}) {
    for_both_backends([&](ring::BackendKind backend) {
      Web web(backend, {pod});
      const std::string body = pattern(16 << 20);
      std::atomic<bool> same = false;
      const Server server(pod.ip, 8080, [&](UniqueFd connection, SocketAddress) {
        CHECK(read_head(connection).find("transfer-encoding: chunked") != std::string::npos);
        // The last byte comes when all was read: a response that is over before its request ends that.
        const std::string response = ok(body);
        std::thread writer([&] { send_all(connection, std::string_view(response).substr(0, response.size() - 1)); });
        same = read_chunks(connection) == body;
        writer.join();
        send_all(connection, std::string_view(response).substr(response.size() - 1));
      });
      web.start();
      const UniqueFd client = web.connect();
      std::thread writer([&] {
        send_all(client, "PUT / HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\n");
        for (size_t at = 0; at < body.size(); at += 100'000) send_all(client, chunk(body.substr(at, 100'000)));
        send_all(client, "0\r\n\r\n");
      });
      CHECK(read_head(client).find("content-length: 16777216") != std::string::npos);
      CHECK((read_some(client, body.size()) == body));
      writer.join();
      CHECK(same);
    });
  }
}

TEST_CASE("requests that are sent without waiting are answered in their order") {
  for_both_backends([](ring::BackendKind backend) {
    Web web(backend, {kNear});
    const HttpServer server(kNear, [](const std::string& request) { return ok(request.substr(4, 3)); });
    web.start();
    const UniqueFd client = web.connect();
    std::string all;
    for (int i = 10; i < 60; ++i) all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nhost: web\r\n\r\n";
    send_all(client, all);
    for (int i = 10; i < 60; ++i) CHECK(read_message(client) == ok("/" + std::to_string(i)));
    CHECK(server.accepted() == 1);
  });
}

TEST_CASE("a client of HTTP/1.0 is served as one") {
  Web web(ring::BackendKind::kIoUring, {kNear});
  const HttpServer server(kNear, [](const std::string& request) {
    if (request.starts_with("GET /chunked"))
      return std::string("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    return ok(request);
  });
  web.start();
  SUBCASE("and the connection closes after the response") {
    const UniqueFd client = web.connect();
    send_all(client, "GET / HTTP/1.0\r\n\r\n");
    CHECK(read_all(client) ==
          "HTTP/1.1 200 OK\r\ncontent-length: 38\r\nconnection: close\r\n\r\nGET / HTTP/1.1\r\nhost: "
          "127.1.9.9:80\r\n\r\n");
  }
  SUBCASE("and the connection lives where it asks for that") {
    const UniqueFd client = web.connect();
    send_all(client, "GET / HTTP/1.0\r\nhost: web\r\nconnection: keep-alive\r\n\r\n");
    CHECK(read_message(client).find("connection: keep-alive") != std::string::npos);
    send_all(client, "GET / HTTP/1.0\r\nhost: web\r\nconnection: keep-alive\r\n\r\n");
    CHECK(read_message(client).find("connection: keep-alive") != std::string::npos);
  }
  SUBCASE("and sees no chunks") {
    const UniqueFd client = web.connect();
    send_all(client, "GET /chunked HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    CHECK(read_all(client) == "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello");
  }
}

TEST_CASE("a response that lasts until the close reaches the client in chunks, which then asks again") {
  for_both_backends([](ring::BackendKind backend) {
    Web web(backend, {kFar});
    Server server(kFar.ip, 8080, [](UniqueFd connection, SocketAddress) {
      read_head(connection);
      send_all(connection, "HTTP/1.0 200 OK\r\n\r\nall of it");
    });
    web.start();
    const UniqueFd client = web.connect();
    for (int i = 0; i < 2; ++i) {
      send_all(client, kGet);
      CHECK(read_head(client) == "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
      CHECK(read_chunks(client) == "all of it");
    }
  });
}

TEST_CASE("what can't be passed on is answered here, and says why") {
  const auto answer = [](Web& web, const std::string& request) {
    const UniqueFd client = web.connect();
    send_all(client, request);
    return read_message(client);
  };
  Web web(ring::BackendKind::kIoUring, {});
  SUBCASE("no endpoint") {
    web.start();
    const std::string response = answer(web, kGet);
    CHECK(response.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    CHECK(response.find("leat-reason: no-endpoint\r\n") != std::string::npos);
    CHECK(response.find("the service has no ready endpoint; look at") != std::string::npos);
  }
  SUBCASE("an endpoint that refuses") {
    Node::add_endpoint(web.service, kNear, 8080);
    web.start();
    CHECK(answer(web, kGet).find("leat-reason: refused\r\n") != std::string::npos);
  }
  SUBCASE("a request that is none, after which the connection closes") {
    web.start();
    const UniqueFd client = web.connect();
    send_all(client, "GET / HTTP/1.1\r\n\r\n");
    const std::string response = read_all(client);
    CHECK(response.starts_with("HTTP/1.1 400 Bad Request\r\n"));
    CHECK(response.find("leat-reason: no-host\r\n") != std::string::npos);
    CHECK(response.find("connection: close\r\n") != std::string::npos);
  }
  SUBCASE("CONNECT") {
    web.start();
    CHECK(answer(web, "CONNECT web:80 HTTP/1.1\r\nhost: web:80\r\n\r\n").starts_with("HTTP/1.1 501 "));
  }
  SUBCASE("no route, after which the connection lives on") {
    v1::HttpRoute* route = web.service->add_route_tables()->add_routes();
    route->add_matches()->mutable_uri()->set_exact("/only");
    route->add_destinations()->set_service("shop/web");
    route->mutable_destinations(0)->set_weight(1);
    web.start();
    const UniqueFd client = web.connect();
    send_all(client, kGet);
    CHECK(read_message(client).find("leat-reason: no-route\r\n") != std::string::npos);
    send_all(client, "GET /only HTTP/1.1\r\nhost: web\r\n\r\n");
    CHECK(read_message(client).find("leat-reason: no-endpoint\r\n") != std::string::npos);
  }
}

TEST_CASE("a changed route holds for the next request of an open connection") {
  Web web(ring::BackendKind::kIoUring, {kNear, kFar});
  const HttpServer near(kNear, [](const std::string&) { return ok("near"); });
  const HttpServer far(kFar, [](const std::string&) { return ok("far"); });
  for (const char* name : {"v1", "v2"}) web.service->add_subsets()->set_name(name);
  web.service->mutable_endpoints(0)->add_subsets(0);
  web.service->mutable_endpoints(1)->add_subsets(1);
  v1::RouteDestination* to = web.service->add_route_tables()->add_routes()->add_destinations();
  to->set_service("shop/web");
  to->set_subset("v1");
  to->set_weight(1);
  web.start();
  const UniqueFd client = web.connect();
  send_all(client, kGet);
  CHECK(read_message(client) == ok("near"));
  to->set_subset("v2");
  web.a.send_mesh();
  send_all(client, kGet);
  CHECK(read_message(client) == ok("far"));
  to->set_subset("v3");
  web.a.send_mesh();
  send_all(client, kGet);
  CHECK(read_message(client).find("leat-reason: no-subset\r\n") != std::string::npos);
}

TEST_CASE("a client has the subsets and endpoints of its rule, from its next request on") {
  Web web(ring::BackendKind::kIoUring, {kNear, kFar});
  const HttpServer near(kNear, [](const std::string&) { return ok("near"); });
  const HttpServer far(kFar, [](const std::string&) { return ok("far"); });
  const v1::Endpoint only_far = web.service->endpoints(1);
  web.service->mutable_endpoints()->RemoveLast();
  web.start();
  const UniqueFd client = web.connect();
  const auto asked = [&](const std::string& answer) {
    web.a.send_mesh();
    for (int i = 0; i < 3; ++i) {
      send_all(client, kGet);
      CHECK(read_message(client).find(answer) != std::string::npos);
    }
  };
  v1::ClientRule* rule = web.service->add_client_rules();
  rule->set_rule("team/far");
  rule->add_namespaces("team");
  *rule->mutable_service()->mutable_ports() = web.service->ports();
  *rule->mutable_service()->add_endpoints() = only_far;
  asked("near");
  rule->set_namespaces(0, "shop");
  asked("far");
  v1::RouteDestination* to = web.service->add_route_tables()->add_routes()->add_destinations();
  to->set_service("shop/web");
  to->set_subset("v1");
  to->set_weight(1);
  web.service->add_subsets()->set_name("v1");
  web.service->mutable_endpoints(0)->add_subsets(0);
  asked("leat-reason: no-subset\r\n");
  rule->mutable_service()->add_subsets()->set_name("v1");
  rule->mutable_service()->mutable_endpoints(0)->add_subsets(0);
  asked("far");
  web.service->clear_client_rules();
  asked("near");
}

TEST_CASE("a server that closes an idle connection costs no request") {
  for_both_backends([](ring::BackendKind backend) {
    Web web(backend, {kNear});
    // Reads a request and dies of it, unless it is the connection's first.
    Server server(kNear.ip, 8080, [](UniqueFd connection, SocketAddress) {
      read_message(connection);
      send_all(connection, ok("first"));
      read_message(connection);
    });
    web.start();
    const UniqueFd client = web.connect();
    for (int i = 0; i < 3; ++i) {
      send_all(client, kGet);
      CHECK(read_message(client) == ok("first"));
    }
    CHECK(server.accepted() == 3);

    send_all(client, "POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 0\r\n\r\n");
    const std::string answer = read_message(client);
    CAPTURE(answer);
    CHECK(answer.find("leat-reason: server-closed\r\n") != std::string::npos);
  });
}

TEST_CASE("a server that fails in the midst of a response resets the client") {
  for_both_backends([](ring::BackendKind backend) {
    Web web(backend, {kFar});
    Server server(kFar.ip, 8080, [](UniqueFd connection, SocketAddress) {
      read_head(connection);
      send_all(connection, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
    });
    web.start();
    const UniqueFd client = web.connect();
    send_all(client, kGet);
    CHECK(read_all(client) == "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsomeRESET");
  });
}

TEST_CASE("a client that is reset while it waits is a reset for the server") {
  for (const Pod& pod : {kNear, kFar}) {
    for_both_backends([&](ring::BackendKind backend) {
      Web web(backend, {pod});
      std::promise<void> asked;
      std::promise<std::string> heard;
      Server server(pod.ip, 8080, [&](UniqueFd connection, SocketAddress) {
        read_head(connection);
        asked.set_value();
        heard.set_value(read_all(connection));
      });
      web.start();
      UniqueFd client = web.connect();
      send_all(client, kGet);
      asked.get_future().get();
      reset(std::move(client));
      CHECK(heard.get_future().get() == "RESET");
    });
  }
}

TEST_CASE("a client's half-close is the server's, which still answers") {
  for_both_backends([](ring::BackendKind backend) {
    Web web(backend, {kFar});
    Server server(kFar.ip, 8080, [](UniqueFd connection, SocketAddress) {
      read_head(connection);
      CHECK(read_all(connection).empty());
      send_all(connection, ok("late"));
    });
    web.start();
    const UniqueFd client = web.connect();
    send_all(client, kGet);
    shutdown(client.get(), SHUT_WR);
    CHECK(read_all(client).ends_with("\r\n\r\nlate"));
  });
}

TEST_CASE("an answer that comes before the request's end is delivered, and the connection closes") {
  for_both_backends([](ring::BackendKind backend) {
    Web web(backend, {kFar});
    Server server(kFar.ip, 8080, [](UniqueFd connection, SocketAddress) {
      read_head(connection);
      send_all(connection, "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
      shutdown(connection.get(), SHUT_WR);
      read_all(connection);
    });
    web.start();
    const UniqueFd client = web.connect();
    send_all(client, "POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 50000000\r\n\r\n");
    std::thread writer([&] { send_all(client, std::string(50'000'000, 'x')); });
    CHECK(read_all(client) == "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    shutdown(client.get(), SHUT_RDWR);
    writer.join();
  });
}

TEST_CASE("after 101 both sides speak what they like, leftovers first") {
  for (const Pod& pod : {kNear, kFar}) {
    for_both_backends([&](ring::BackendKind backend) {
      Web web(backend, {pod});
      Server server(pod.ip, 8080, [](UniqueFd connection, SocketAddress peer) {
        CHECK(read_head(connection).find("upgrade: echo\r\n") != std::string::npos);
        send_all(connection, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello ");
        echo(std::move(connection), peer);
      });
      web.start();
      const UniqueFd client = web.connect();
      send_all(client, "GET / HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nearly ");
      CHECK(read_head(client) == "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n");
      CHECK(read_some(client, 12) == "hello early ");
      send_all(client, "later");
      CHECK(read_some(client, 5) == "later");
      shutdown(client.get(), SHUT_WR);
      CHECK(read_all(client).empty());
    });
  }
}

TEST_CASE("what is no HTTP passes an HTTP port as it is") {
  for_both_backends([](ring::BackendKind backend) {
    SUBCASE("declared HTTP: by the client's first bytes") {
      Web web(backend, {kNear});
      const Server server(kNear.ip, 8080, echo);
      web.start();
      const UniqueFd client = web.connect();
      send_all(client, "\x16\x03\x01 no HTTP");
      CHECK(read_some(client, 11) == "\x16\x03\x01 no HTTP");
      CHECK(web.a.flows(true, false).at(0).protocol() == "tcp");
    }
    SUBCASE("detected: a server that speaks first") {
      Web web(backend, {kFar}, v1::PROTOCOL_DETECT);
      const Server server(kFar.ip, 8080, [](UniqueFd connection, SocketAddress) { send_all(connection, "220 ready"); });
      web.start();
      const UniqueFd client = web.connect();
      CHECK(read_some(client, 9) == "220 ready");
    }
    SUBCASE("detected: a client that speaks HTTP at once") {
      Web web(backend, {kFar}, v1::PROTOCOL_DETECT);
      const HttpServer server(kFar, [](const std::string&) { return ok("hello"); });
      web.start();
      const UniqueFd client = web.connect();
      send_all(client, kGet);
      CHECK(read_message(client) == ok("hello"));
      CHECK(web.a.flows(true, false).at(0).protocol() == "http/1.1");
    }
  });
}

TEST_CASE("a proxy that leaves ends idle connections, and says so in the responses of the others") {
  for_both_backends([](ring::BackendKind backend) {
    Web web(backend, {kFar});
    std::promise<void> asked;
    std::promise<void> answer;
    Server server(kFar.ip, 8080, [&](UniqueFd connection, SocketAddress) {
      read_head(connection);
      asked.set_value();
      answer.get_future().wait();
      send_all(connection, ok("bye"));
      read_all(connection);
    });
    web.start();
    const UniqueFd idle = web.connect();
    const UniqueFd busy = web.connect();
    send_all(busy, kGet);
    asked.get_future().get();
    web.a.shut_down();
    CHECK(read_all(idle).empty());
    answer.set_value();
    CHECK(read_all(busy) == "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbye");
    CHECK(web.a.wait_left());
  });
}

TEST_CASE("a tunnel's stream that is idle ends in peace, and by force where its server does not end too") {
  Web web(ring::BackendKind::kIoUring, {kFar});
  std::promise<std::string> in_peace;
  std::promise<bool> by_force;
  Server server(kFar.ip, 8080, [&](UniqueFd connection, SocketAddress) {
    const std::string head = read_head(connection);
    send_all(connection, ok("hello"));
    if (head.starts_with("GET /peace")) return in_peace.set_value(read_all(connection));
    pollfd broken{connection.get(), 0, 0};
    by_force.set_value(poll(&broken, 1, 20'000) == 1 && (broken.revents & (POLLERR | POLLHUP)) != 0);
  });
  web.start();
  const UniqueFd peaceful = web.connect();
  const UniqueFd forced = web.connect();
  send_all(peaceful, "GET /peace HTTP/1.1\r\nhost: web\r\n\r\n");
  send_all(forced, "GET /force HTTP/1.1\r\nhost: web\r\n\r\n");
  CHECK(read_message(peaceful) == ok("hello"));
  CHECK(read_message(forced) == ok("hello"));
  CHECK(in_peace.get_future().get().empty());
  CHECK(by_force.get_future().get());
}

TEST_CASE("a request whose head does not come is answered with 408, and its neighbours are not disturbed") {
  for_both_backends([](ring::BackendKind backend) {
    Web web(backend, {kNear});
    const HttpServer server(kNear, [](const std::string& request) { return ok(request.substr(0, 5)); });
    web.start();
    const UniqueFd idle = web.connect();
    const UniqueFd slow = web.connect();
    send_all(slow, "GET / HTTP/1.1\r\nho");
    pollfd answer{slow.get(), POLLIN, 0};
    for (int i = 0; i < 1000 && poll(&answer, 1, 10) == 0; ++i)  // as if its time had passed
      web.a.on_workers([](Worker& worker) { worker.http.end_overdue(worker.loop.now() + limits::kHeadTime); });
    const std::string said = read_all(slow);
    CHECK(said.starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    CHECK(said.find("connection: close\r\n") != std::string::npos);
    CHECK(said.find("leat-reason: request-timeout\r\n") != std::string::npos);
    CHECK(server.accepted() == 0);
    send_all(idle, kGet);
    CHECK(read_message(idle) == ok("GET /"));
  });
}

}  // namespace leat::proxy::test
