// HTTP/2 frames written by hand, byte for byte as RFC 9113 and RFC 7541 say, so that tests do not ask our codec what is
// right.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace leat::test {

enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9
};
enum FrameFlags : uint8_t { kNoFlags = 0, kEndStream = 1, kAck = 1, kEndHeaders = 4 };

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string big_endian(uint32_t value, int bytes) {
  std::string text;
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) text.push_back(static_cast<char>(value >> shift));
  return text;
}

inline std::string frame(FrameType type, uint8_t flags, uint32_t stream, std::string_view payload) {
  return big_endian(static_cast<uint32_t>(payload.size()), 3) + big_endian(type, 1) + big_endian(flags, 1) +
         big_endian(stream, 4) + std::string(payload);
}

inline std::string settings(std::initializer_list<std::pair<uint16_t, uint32_t>> entries) {
  std::string payload;
  for (const auto& [id, value] : entries) payload += big_endian(id, 2) + big_endian(value, 4);
  return frame(kSettings, kNoFlags, 0, payload);
}

// A length with a 7-bit prefix (RFC 7541, section 5.1), no Huffman code.
inline std::string hpack_text(std::string_view text) {
  std::string out;
  if (text.size() < 127) {
    out.push_back(static_cast<char>(text.size()));
  } else {
    out.push_back(127);
    size_t rest = text.size() - 127;
    for (; rest >= 128; rest /= 128) out.push_back(static_cast<char>(rest % 128 + 128));
    out.push_back(static_cast<char>(rest));
  }
  return out + std::string(text);
}

// Literals without indexing, new names.
inline std::string header_block(std::initializer_list<std::pair<std::string_view, std::string_view>> headers) {
  std::string block;
  for (const auto& [name, value] : headers) block += std::string(1, '\0') + hpack_text(name) + hpack_text(value);
  return block;
}

inline std::string headers(uint32_t stream, std::initializer_list<std::pair<std::string_view, std::string_view>> list,
                           uint8_t flags = kEndHeaders) {
  return frame(kHeaders, flags, stream, header_block(list));
}

inline std::string connect(uint32_t stream, std::string_view authority) {
  return headers(stream, {{":method", "CONNECT"}, {":authority", authority}});
}

// What a ztunnel of August 2026 sends first.
inline std::string ztunnel_preface() {
  return std::string(kPreface) + settings({{2, 0}, {4, 4194304}, {5, 1048576}, {6, 16384}}) +
         frame(kWindowUpdate, kNoFlags, 0, big_endian(16711681, 4));
}

}  // namespace leat::test
