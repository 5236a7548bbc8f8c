#include "userspace-proxy/mesh/alias.h"

#include <array>

#include "bpf/alias.h"

namespace leat::proxy {
namespace {

using Words = std::array<uint32_t, 4>;

Words words_of(const IpAddress& address) {
  Words words{};
  for (size_t i = 0; i < 16; ++i) words[i / 4] = words[i / 4] << 8 | address.bytes()[i];
  return words;
}

IpAddress address_of(const Words& words) {
  std::array<uint8_t, 16> bytes{};
  for (size_t i = 0; i < 16; ++i) bytes[i] = static_cast<uint8_t>(words[i / 4] >> (24 - 8 * (i % 4)));
  return IpAddress::from_bytes(bytes);
}

}  // namespace

std::optional<uint32_t> destination_id(const IpAddress& address) {
  if (address.is_v4()) {
    const uint32_t value = address.v4_host_order();
    if ((value & LEAT_ALIAS_BLOCK_MASK) != LEAT_ALIAS_DESTINATION_BLOCK) return std::nullopt;
    return value & LEAT_ALIAS_ID_MASK;
  }
  const Words words = words_of(address);
  const bool in_block = words[0] == LEAT_ALIAS6_WORD0 && words[1] == LEAT_ALIAS6_DESTINATION_WORD1 && words[2] == 0;
  if (!in_block || words[3] > LEAT_ALIAS_ID_MAX) return std::nullopt;
  return words[3];
}

IpAddress source_alias(uint32_t id, bool ipv6) {
  if (!ipv6) return IpAddress::v4(LEAT_ALIAS_SOURCE_BLOCK | id);
  return address_of({LEAT_ALIAS6_WORD0, LEAT_ALIAS6_SOURCE_WORD1, 0, id});
}

IpAddress destination_alias(uint32_t id, bool ipv6) {
  if (!ipv6) return IpAddress::v4(LEAT_ALIAS_DESTINATION_BLOCK | id);
  return address_of({LEAT_ALIAS6_WORD0, LEAT_ALIAS6_DESTINATION_WORD1, 0, id});
}

}  // namespace leat::proxy
