#include "userspace-proxy/http1/name.h"

#include <array>
#include <cstring>

namespace leat::http1 {
namespace {

constexpr std::array<std::string_view, kNames> kTexts = {
    "",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "host",
    "content-length",
    "expect",
    "trailer",
    "authorization",
    "www-authenticate",
    "cookie",
    "set-cookie",
    "content-type",
    "content-encoding",
    "content-range",
    "cache-control",
    "max-forwards",
    "location",
    "user-agent",
};

// Perfect for the names above: no two share a slot (asserted below). The 0x20 folds case.
constexpr size_t kSlots = 64;
constexpr size_t slot_of(std::string_view name) {
  return (name.size() + (name.front() | 0x20) + 3 * static_cast<size_t>(name.back() | 0x20)) % kSlots;
}

constexpr auto kSlotNames = [] {
  std::array<Name, kSlots> slots{};
  for (size_t i = 1; i < kNames; ++i) slots[slot_of(kTexts[i])] = static_cast<Name>(i);
  return slots;
}();
static_assert(
    [] {
      for (size_t i = 1; i < kNames; ++i) {
        if (kSlotNames[slot_of(kTexts[i])] != static_cast<Name>(i)) return false;
      }
      return true;
    }(),
    "two known names share a slot");

// Whether `size` bytes (at least `Word`'s) are equal but for case; `known` is in lower case. What 0x20 folds into a
// letter is that letter; into '-' or '2', a control character, which no name has.
template <typename Word>
bool equal_folded(const char* name, const char* known, size_t size) {
  constexpr Word kFold = static_cast<Word>(0x2020202020202020);
  const auto differ = [&](size_t offset) {
    Word a;
    Word b;
    std::memcpy(&a, name + offset, sizeof(Word));
    std::memcpy(&b, known + offset, sizeof(Word));
    return (a | kFold) != (b | kFold);
  };
  for (size_t i = 0; i + sizeof(Word) < size; i += sizeof(Word)) {
    if (differ(i)) return false;
  }
  return !differ(size - sizeof(Word));
}

}  // namespace

Name classify(std::string_view name) {
  if (name.empty()) return Name::kOther;
  const Name candidate = kSlotNames[slot_of(name)];
  const std::string_view known = kTexts[static_cast<size_t>(candidate)];
  if (candidate == Name::kOther || known.size() != name.size()) return Name::kOther;
  const bool equal = name.size() >= 8   ? equal_folded<uint64_t>(name.data(), known.data(), name.size())
                     : name.size() >= 4 ? equal_folded<uint32_t>(name.data(), known.data(), name.size())
                                        : equal_folded<uint16_t>(name.data(), known.data(), name.size());
  return equal ? candidate : Name::kOther;
}

}  // namespace leat::http1
