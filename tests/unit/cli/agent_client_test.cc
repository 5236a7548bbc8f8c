#include "cli/agent_client.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <filesystem>
#include <thread>

using namespace leat;
namespace fs = std::filesystem;

TEST_CASE("an answer of many frames arrives whole") {
  std::string pattern = fs::temp_directory_path() / "leat-cli-XXXXXX";
  const fs::path folder = mkdtemp(pattern.data());
  const std::string path = folder / "api.sock";
  auto listener = MessageSocket::listen_at(path, 0600);
  REQUIRE(listener);
  std::thread agent([&listener] {
    pollfd ready{listener->get(), POLLIN, 0};
    ::poll(&ready, 1, 5000);
    MessageSocket peer(UniqueFd(::accept(listener->get(), nullptr, nullptr)));
    ready = {peer.fd(), POLLIN, 0};
    ::poll(&ready, 1, 5000);
    (void)peer.receive();
    v1::ApiReply reply;
    for (int i = 0; i < 10'000; ++i) reply.add_flows()->set_reason(std::string(100, 'x'));
    (void)peer.send(reply);
    while (peer.wants_write()) {
      ready = {peer.fd(), POLLOUT, 0};
      ::poll(&ready, 1, 5000);
      if (!peer.flush()) break;
    }
    ready = {peer.fd(), POLLIN, 0};
    ::poll(&ready, 1, 5000);  // until the client leaves
  });
  {
    auto client = cli::AgentClient::connect(path);
    REQUIRE(client);
    v1::ApiRequest request;
    request.mutable_flows()->set_open(true);
    const auto reply = client->ask(request);
    REQUIRE(reply);
    CHECK(reply->flows_size() == 10'000);
  }
  agent.join();
  fs::remove_all(folder);
}

TEST_CASE("an agent that is not there, and one that leaves, are errors") {
  CHECK_FALSE(cli::AgentClient::connect("/nowhere/api.sock"));
  std::string pattern = fs::temp_directory_path() / "leat-cli-XXXXXX";
  const fs::path folder = mkdtemp(pattern.data());
  auto listener = MessageSocket::listen_at(folder / "api.sock", 0600);
  REQUIRE(listener);
  auto client = cli::AgentClient::connect(folder / "api.sock");
  REQUIRE(client);
  listener->reset();
  CHECK_FALSE(client->ask({}));
  fs::remove_all(folder);
}
