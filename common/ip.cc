#include "common/ip.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

#include "common/check.h"

namespace leat {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

template <typename Number>
std::optional<Number> parse_decimal(std::string_view text, uint32_t limit) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > limit) return std::nullopt;
  return static_cast<Number>(value);
}

}  // namespace

IpAddress IpAddress::v4(uint32_t host_order) {
  IpAddress address;
  std::memcpy(address.bytes_.data(), kMappedPrefix.data(), kMappedPrefix.size());
  const uint32_t network_order = htonl(host_order);
  std::memcpy(address.bytes_.data() + 12, &network_order, 4);
  return address;
}

IpAddress IpAddress::v6(const in6_addr& source) {
  IpAddress address;
  std::memcpy(address.bytes_.data(), source.s6_addr, 16);
  return address;
}

IpAddress IpAddress::from_bytes(const std::array<uint8_t, 16>& network_order) {
  IpAddress address;
  address.bytes_ = network_order;
  return address;
}

std::optional<IpAddress> IpAddress::from_wire(std::string_view bytes) {
  if (bytes.size() == 4) {
    uint32_t network_order = 0;
    std::memcpy(&network_order, bytes.data(), 4);
    return v4(ntohl(network_order));
  }
  if (bytes.size() != 16) return std::nullopt;
  IpAddress address;
  std::memcpy(address.bytes_.data(), bytes.data(), 16);
  return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof buffer) return std::nullopt;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = 0;
  if (std::strlen(buffer) != text.size()) return std::nullopt;
  in_addr four{};
  if (inet_pton(AF_INET, buffer, &four) == 1) return v4(ntohl(four.s_addr));
  in6_addr six{};
  if (inet_pton(AF_INET6, buffer, &six) == 1) return v6(six);
  return std::nullopt;
}

bool IpAddress::is_v4() const { return std::memcmp(bytes_.data(), kMappedPrefix.data(), kMappedPrefix.size()) == 0; }

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes_[12] == 127;
  IpAddress one;
  one.bytes_[15] = 1;
  return *this == one;
}

bool IpAddress::is_unspecified() const { return *this == IpAddress{} || *this == v4(0); }

uint32_t IpAddress::v4_host_order() const {
  LEAT_CHECK(is_v4(), "v4_host_order() of an IPv6 address");
  uint32_t network_order = 0;
  std::memcpy(&network_order, bytes_.data() + 12, 4);
  return ntohl(network_order);
}

std::string IpAddress::wire() const {
  const auto* data = reinterpret_cast<const char*>(bytes_.data());
  return is_v4() ? std::string(data + 12, 4) : std::string(data, 16);
}

std::string IpAddress::text() const {
  char buffer[INET6_ADDRSTRLEN];
  if (is_v4()) return inet_ntop(AF_INET, bytes_.data() + 12, buffer, sizeof buffer);
  return inet_ntop(AF_INET6, bytes_.data(), buffer, sizeof buffer);
}

std::optional<SocketAddress> SocketAddress::from_sockaddr(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(storage);
    return SocketAddress{IpAddress::v4(ntohl(four.sin_addr.s_addr)), ntohs(four.sin_port)};
  }
  if (storage.ss_family == AF_INET6) {
    const auto& six = reinterpret_cast<const sockaddr_in6&>(storage);
    return SocketAddress{IpAddress::v6(six.sin6_addr), ntohs(six.sin6_port)};
  }
  return std::nullopt;
}

std::optional<SocketAddress> SocketAddress::parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const bool has_colon = host.find(':') != std::string_view::npos;
  if (bracketed != has_colon) return std::nullopt;
  const auto ip = IpAddress::parse(host);
  const auto port = parse_decimal<uint16_t>(text.substr(colon + 1), 65535);
  if (!ip || !port) return std::nullopt;
  return SocketAddress{*ip, *port};
}

socklen_t SocketAddress::to_sockaddr(sockaddr_storage& out, sa_family_t family) const {
  std::memset(&out, 0, sizeof out);
  if (family == AF_INET) {
    auto& four = reinterpret_cast<sockaddr_in&>(out);
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    four.sin_addr.s_addr = htonl(ip.v4_host_order());
    return sizeof four;
  }
  auto& six = reinterpret_cast<sockaddr_in6&>(out);
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  std::memcpy(six.sin6_addr.s6_addr, ip.bytes().data(), 16);
  return sizeof six;
}

std::string SocketAddress::text() const {
  return ip.is_v4() ? ip.text() + ":" + std::to_string(port) : "[" + ip.text() + "]:" + std::to_string(port);
}

std::optional<Cidr> Cidr::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto base = IpAddress::parse(text.substr(0, slash));
  if (!base) return std::nullopt;
  Cidr cidr{*base, 128};
  if (slash != std::string_view::npos) {
    const uint32_t width = text.find(':') == std::string_view::npos ? 32 : 128;
    const auto bits = parse_decimal<uint8_t>(text.substr(slash + 1), width);
    if (!bits) return std::nullopt;
    cidr.prefix_bits = static_cast<uint8_t>(*bits + 128 - width);
  }
  for (uint32_t bit = cidr.prefix_bits; bit < 128; ++bit) {
    if (cidr.base.bytes()[bit / 8] & (0x80u >> (bit % 8))) return std::nullopt;
  }
  return cidr;
}

bool Cidr::contains(const IpAddress& address) const {
  const uint32_t whole = prefix_bits / 8;
  if (std::memcmp(base.bytes().data(), address.bytes().data(), whole) != 0) return false;
  const uint32_t rest = prefix_bits % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<uint8_t>(0xff00u >> rest);
  return (base.bytes()[whole] & mask) == (address.bytes()[whole] & mask);
}

std::string Cidr::text() const {
  const bool v4 = base.is_v4() && prefix_bits >= 96;
  return base.text() + "/" + std::to_string(v4 ? prefix_bits - 96 : prefix_bits);
}

}  // namespace leat

size_t std::hash<leat::IpAddress>::operator()(const leat::IpAddress& address) const noexcept {
  uint64_t high = 0;
  uint64_t low = 0;
  std::memcpy(&high, address.bytes().data(), 8);
  std::memcpy(&low, address.bytes().data() + 8, 8);
  uint64_t mixed = (high ^ 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
  mixed = (mixed ^ (mixed >> 31) ^ low) * 0x94d049bb133111ebull;
  return mixed ^ (mixed >> 29);
}

size_t std::hash<leat::SocketAddress>::operator()(const leat::SocketAddress& address) const noexcept {
  return std::hash<leat::IpAddress>{}(address.ip) * 31 + address.port;
}
