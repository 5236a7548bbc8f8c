// A DNS server on loopback for one test, in the test's own loop: it knows a few names, and says of them what the test
// wants, also that it fails, or nothing at all.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "common/event_loop.h"
#include "common/ip.h"
#include "common/unique_fd.h"

namespace leat::agent {

class DnsServer {
 public:
  enum class Reply : uint8_t { kAddresses, kNoSuchHost, kFailure, kLater };
  struct Zone {
    std::vector<IpAddress> addresses;
    uint32_t ttl_s = 300;
    Reply reply = Reply::kAddresses;
    int asked = 0;  // of A; AAAA is asked as often
  };
  std::map<std::string, Zone> zones;  // other names do not exist

  explicit DnsServer(EventLoop& loop)
      : loop_(loop),
        socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
        listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in own{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    socklen_t size = sizeof own;
    auto* address = reinterpret_cast<sockaddr*>(&own);
    REQUIRE(::bind(listener_.get(), address, sizeof own) == 0);
    REQUIRE(::listen(listener_.get(), 8) == 0);
    REQUIRE(::getsockname(listener_.get(), address, &size) == 0);
    REQUIRE(::bind(socket_.get(), address, sizeof own) == 0);
    address_ = "127.0.0.1:" + std::to_string(ntohs(own.sin_port));
    loop_.watch(socket_.get(), EPOLLIN, [this](uint32_t) { receive(); });
    loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept_one(); });
  }
  ~DnsServer() {
    loop_.forget(socket_.get());
    loop_.forget(listener_.get());
    for (const auto& [fd, connection] : connections_) loop_.forget(fd);
  }
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  [[nodiscard]] const std::string& address() const { return address_; }
  // Answers what was to be answered later, by what the zones say now.
  void answer_now() {
    for (const Question& question : std::exchange(later_, {})) answer(question);
  }

 private:
  static constexpr uint16_t kTypeA = 1, kTypeAaaa = 28;
  static constexpr size_t kDatagram = 512;
  struct Question {
    int connection = -1;  // -1: a datagram came
    sockaddr_in from{};
    std::string packet;
    std::string name;
    uint16_t type = 0;
  };
  struct Connection {
    UniqueFd fd;
    std::string input;
  };

  void receive() {
    Question question;
    std::array<char, 1024> packet;
    socklen_t size = sizeof question.from;
    const ssize_t got =
        ::recvfrom(socket_.get(), packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&question.from), &size);
    REQUIRE(got > 0);
    question.packet.assign(packet.data(), static_cast<size_t>(got));
    take(std::move(question));
  }

  void accept_one() {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(fd);
    const int number = fd.get();
    connections_.insert_or_assign(number, Connection{std::move(fd), ""});
    loop_.watch(number, EPOLLIN, [this, number](uint32_t) { read(number); });
  }

  // Questions on a connection have their length before them.
  void read(int fd) {
    std::array<char, 1024> piece;
    std::string& input = connections_.at(fd).input;
    const ssize_t got = ::recv(fd, piece.data(), piece.size(), 0);
    if (got <= 0) {
      loop_.forget(fd);
      connections_.erase(fd);
      return;
    }
    input.append(piece.data(), static_cast<size_t>(got));
    while (input.size() >= 2 && input.size() >= 2 + number_at(input, 0)) {
      Question question{.connection = fd, .from = {}, .packet = input.substr(2, number_at(input, 0)), .name = {}};
      input.erase(0, 2 + question.packet.size());
      take(std::move(question));
    }
  }

  void take(Question question) {
    size_t at = 12;
    for (; question.packet.at(at) != 0; at += 1 + static_cast<uint8_t>(question.packet[at])) {
      if (!question.name.empty()) question.name += '.';
      question.name += question.packet.substr(at + 1, static_cast<uint8_t>(question.packet[at]));
    }
    question.type = number_at(question.packet, at + 1);
    question.packet.resize(at + 5);  // header and question: the beginning of the answer
    const auto zone = zones.find(question.name);
    const bool first = question.type == kTypeA && question.connection < 0;
    if (zone != zones.end() && first) ++zone->second.asked;
    if (zone != zones.end() && zone->second.reply == Reply::kLater) {
      later_.push_back(std::move(question));
    } else {
      answer(question);
    }
  }

  void answer(const Question& question) {
    const auto zone = zones.find(question.name);
    const Reply reply = zone == zones.end() ? Reply::kNoSuchHost : zone->second.reply;
    std::string packet = question.packet;
    std::string records;
    uint16_t count = 0;
    if (reply == Reply::kAddresses) {
      for (const IpAddress& address : zone->second.addresses) {
        if (address.is_v4() != (question.type == kTypeA)) continue;
        const std::string bytes = address.wire();
        records += std::string("\xc0\x0c", 2) + number(question.type, 2) + number(1, 2) +
                   number(zone->second.ttl_s, 4) + number(static_cast<uint32_t>(bytes.size()), 2) + bytes;
        ++count;
      }
    }
    const uint32_t code = reply == Reply::kNoSuchHost ? 3 : reply == Reply::kFailure ? 2 : 0;
    // What has no room in a datagram is asked for again, on a connection.
    const bool cut = question.connection < 0 && packet.size() + records.size() > kDatagram;
    if (cut) records.clear();
    packet.replace(2, 2, number(0x8180u | (cut ? 0x0200u : 0) | code, 2));  // of a resolver that recurses
    packet.replace(6, 6, number(cut ? 0 : count, 2) + number(0, 4));
    packet += records;
    if (question.connection >= 0) {
      packet = number(static_cast<uint32_t>(packet.size()), 2) + packet;
      CHECK(::send(question.connection, packet.data(), packet.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(packet.size()));
      return;
    }
    CHECK(::sendto(socket_.get(), packet.data(), packet.size(), 0, reinterpret_cast<const sockaddr*>(&question.from),
                   sizeof question.from) > 0);
  }

  static uint16_t number_at(const std::string& bytes, size_t at) {
    return static_cast<uint16_t>(static_cast<uint8_t>(bytes.at(at)) << 8 | static_cast<uint8_t>(bytes.at(at + 1)));
  }
  static std::string number(uint32_t value, size_t bytes) {
    std::string text;
    for (size_t i = bytes; i-- > 0;) text += static_cast<char>(value >> (8 * i));
    return text;
  }

  EventLoop& loop_;
  UniqueFd socket_, listener_;
  std::map<int, Connection> connections_;
  std::string address_;
  std::deque<Question> later_;
};

}  // namespace leat::agent
