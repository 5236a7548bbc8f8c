// IP addresses, socket addresses and CIDRs as values. One 16-byte form holds both families: IPv4 is v4-mapped
// (::ffff:a.b.c.d), as in every BPF map, so that 10.0.0.1 and ::ffff:10.0.0.1 are the same address everywhere in Leat.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace leat {

class IpAddress {
 public:
  IpAddress() = default;  // ::
  static IpAddress v4(uint32_t host_order);
  static IpAddress v6(const in6_addr& address);  // a v4-mapped one becomes IPv4
  static IpAddress from_bytes(const std::array<uint8_t, 16>& network_order);
  // Accepts 4 or 16 bytes in network order; nothing else.
  static std::optional<IpAddress> from_wire(std::string_view bytes);
  // Dotted quad or IPv6 text (RFC 4291, 5952), no brackets, no zone, no leading zeros in a quad.
  static std::optional<IpAddress> parse(std::string_view text);

  [[nodiscard]] bool is_v4() const;
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] uint32_t v4_host_order() const;  // only if is_v4()
  [[nodiscard]] const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  [[nodiscard]] std::string wire() const;  // 4 or 16 bytes, network order
  [[nodiscard]] std::string text() const;

  auto operator<=>(const IpAddress&) const = default;

 private:
  std::array<uint8_t, 16> bytes_{};
};

struct SocketAddress {
  IpAddress ip;
  uint16_t port = 0;  // host order

  static std::optional<SocketAddress> from_sockaddr(const sockaddr_storage& storage);
  // "1.2.3.4:80" or "[::1]:80"; the whole text, a decimal port 0–65535 without leading zeros or signs.
  static std::optional<SocketAddress> parse(std::string_view text);

  // Fills `out` for a socket of `family` (an AF_INET6 socket gets IPv4 as v4-mapped); returns the length.
  socklen_t to_sockaddr(sockaddr_storage& out, sa_family_t family) const;
  [[nodiscard]] std::string text() const;
  auto operator<=>(const SocketAddress&) const = default;
};

struct Cidr {
  IpAddress base;
  uint8_t prefix_bits = 0;  // of the 128-bit form: an IPv4 /24 is 120

  // "10.0.0.0/8", "fd00::/8", or a bare address (host prefix). Host bits must be zero.
  static std::optional<Cidr> parse(std::string_view text);
  [[nodiscard]] bool contains(const IpAddress& address) const;
  [[nodiscard]] std::string text() const;
  auto operator<=>(const Cidr&) const = default;
};

}  // namespace leat

template <>
struct std::hash<leat::IpAddress> {
  size_t operator()(const leat::IpAddress& address) const noexcept;
};
template <>
struct std::hash<leat::SocketAddress> {
  size_t operator()(const leat::SocketAddress& address) const noexcept;
};
