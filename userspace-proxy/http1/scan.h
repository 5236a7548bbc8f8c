// Character classes of HTTP text, one byte and sixteen at a time. SSE2 is every amd64; wider registers gain nothing on
// names of ten bytes and values of forty. Other processors take the loop over the table.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace leat::http1 {

enum CharClass : uint8_t {
  kTokenChar = 1,   // RFC 9110, section 5.6.2
  kTargetChar = 2,  // visible ASCII; 0x80 and above, which RFC 3986 wants encoded, but clients send and servers take
  kTextChar = 4,    // of a value: visible ASCII, blank, tab, 0x80 and above
  kHostChar = 8,    // RFC 3986: unreserved, sub-delims, percent
  kDigitChar = 16,
};

inline constexpr auto kCharClasses = [] {
  std::array<uint8_t, 256> classes{};
  const auto add = [&](std::string_view chars, uint8_t which) {
    for (const char c : chars) classes[static_cast<uint8_t>(c)] |= which;
  };
  for (int c = 0x21; c < 0x7f; ++c) classes[c] = kTargetChar | kTextChar;
  for (int c = 0x80; c < 0x100; ++c) classes[c] = kTargetChar | kTextChar;
  add(" \t", kTextChar);
  for (int c = 'a'; c <= 'z'; ++c) {
    classes[c] |= kTokenChar | kHostChar;
    classes[c - 'a' + 'A'] |= kTokenChar | kHostChar;
  }
  add("0123456789", kTokenChar | kHostChar | kDigitChar);
  add("!#$%&'*+-.^_`|~", kTokenChar);
  add("-._~!$&'()*+,;=%", kHostChar);
  return classes;
}();

inline bool is(char c, CharClass which) { return (kCharClasses[static_cast<uint8_t>(c)] & which) != 0; }

// The first byte in [at, end) outside the class; `end` if there is none.
inline const char* skip(const char* at, const char* end, CharClass which) {
  while (at < end && is(*at, which)) ++at;
  return at;
}

#ifdef __SSE2__

namespace sse2 {
inline __m128i load(const char* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }
// Signed, so that 0x80 and above are below everything.
inline __m128i between(__m128i bytes, char low, char high) {
  return _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8(static_cast<char>(low - 1))),
                       _mm_cmplt_epi8(bytes, _mm_set1_epi8(static_cast<char>(high + 1))));
}
inline const char* first_set(const char* at, int mask) { return at + __builtin_ctz(static_cast<unsigned>(mask)); }
}  // namespace sse2

inline const char* skip_text(const char* at, const char* end) {
  for (; end - at >= 16; at += 16) {
    const __m128i bytes = sse2::load(at);
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    const __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
    const __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
    const int stops = _mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, control), del));
    if (stops != 0) return sse2::first_set(at, stops);
  }
  return skip(at, end, kTextChar);
}

inline const char* skip_target(const char* at, const char* end) {
  for (; end - at >= 16; at += 16) {
    const __m128i bytes = sse2::load(at);
    const int high = _mm_movemask_epi8(bytes);  // 0x80 and above
    const int stops = (_mm_movemask_epi8(sse2::between(bytes, 0x21, 0x7e)) | high) ^ 0xffff;
    if (stops != 0) return sse2::first_set(at, stops);
  }
  return skip(at, end, kTargetChar);
}

// Letters, digits, '-' and '.', which names and hosts mostly are made of, are told apart here; the table knows the rest
// of the class.
template <CharClass which>
const char* skip_word(const char* at, const char* end) {
  while (end - at >= 16) {
    const __m128i bytes = sse2::load(at);
    const __m128i letters = sse2::between(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 'z');
    const __m128i others = _mm_or_si128(sse2::between(bytes, '0', '9'), sse2::between(bytes, '-', '.'));
    const int stops = _mm_movemask_epi8(_mm_or_si128(letters, others)) ^ 0xffff;
    if (stops == 0) {
      at += 16;
      continue;
    }
    at = sse2::first_set(at, stops);
    if (!is(*at, which)) return at;
    ++at;
  }
  return skip(at, end, which);
}

#else

inline const char* skip_text(const char* at, const char* end) { return skip(at, end, kTextChar); }
inline const char* skip_target(const char* at, const char* end) { return skip(at, end, kTargetChar); }
template <CharClass which>
const char* skip_word(const char* at, const char* end) {
  return skip(at, end, which);
}

#endif

inline const char* skip_token(const char* at, const char* end) { return skip_word<kTokenChar>(at, end); }
inline const char* skip_host(const char* at, const char* end) { return skip_word<kHostChar>(at, end); }

}  // namespace leat::http1
