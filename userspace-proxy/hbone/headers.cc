#include "userspace-proxy/hbone/headers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "userspace-proxy/hbone/limits.h"

namespace leat::hbone {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

// Cuts `text` at the first `separator` and returns what stood before it.
std::string_view cut(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  const std::string_view head = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return head;
}

bool is_alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// RFC 9110, section 5.6.2.
bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return is_alphanumeric(c) || kMarks.find(c) != std::string_view::npos;
  });
}

std::string percent_encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool unreserved = is_alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~';
    unreserved ? encoded.push_back(c)
               : void(fmt::format_to(std::back_inserter(encoded), "%{:02X}", static_cast<uint8_t>(c)));
  }
  return encoded;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      if (text[i] <= ' ' || text[i] == 0x7f) return std::nullopt;  // also what is not ASCII: char is signed here
      decoded.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = digit(text[i + 1]);
    const int low = digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    decoded.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return decoded;
}

// ---- baggage

constexpr std::array<std::string_view, 4> kWorkloadKinds = {"deployment", "cronjob", "pod", "job"};

struct PlainKey {
  std::string_view key;
  std::string Baggage::* field;
};
// The workload's own name stands between these two groups, under a key that depends on its kind.
constexpr std::array<PlainKey, 2> kKeysBefore = {
    {{"k8s.cluster.name", &Baggage::cluster}, {"k8s.namespace.name", &Baggage::ns}}};
constexpr std::array<PlainKey, 4> kKeysAfter = {{{"service.name", &Baggage::service},
                                                 {"service.version", &Baggage::version},
                                                 {"cloud.region", &Baggage::region},
                                                 {"cloud.availability_zone", &Baggage::zone}}};

void write_member(std::string& out, std::string_view key, std::string_view value) {
  if (!value.empty())
    fmt::format_to(std::back_inserter(out), "{}{}={}", out.empty() ? "" : ",", key, percent_encoded(value));
}

void assign(Baggage& baggage, std::string_view key, std::string value) {
  for (const auto& [plain, field] : kKeysBefore) {
    if (key == plain) baggage.*field = std::move(value);
  }
  for (const auto& [plain, field] : kKeysAfter) {
    if (key == plain) baggage.*field = std::move(value);
  }
  for (const std::string_view kind : kWorkloadKinds) {
    if (key != fmt::format("k8s.{}.name", kind)) continue;
    baggage.workload_kind = value.empty() ? "" : kind;
    baggage.workload = std::move(value);
    return;
  }
}

// ---- forwarded

// The value of a pair: a token, or a quoted string without escapes (addresses and host names need none).
std::optional<std::string_view> pair_value(std::string_view text) {
  if (is_token(text)) return text;
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return std::nullopt;
  text = text.substr(1, text.size() - 2);
  const bool plain = std::ranges::none_of(text, [](char c) { return c == '"' || c == '\\' || c < ' ' || c == 0x7f; });
  return plain ? std::optional(text) : std::nullopt;
}

bool equal_ignoring_case(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower, [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

bool is_host(std::string_view text) {
  return !text.empty() && text.size() <= 261 &&  // a name of 255 bytes and a port
         std::ranges::all_of(text, [](char c) {
           return is_alphanumeric(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']';
         });
}

}  // namespace

std::string Baggage::write() const {
  std::string out;
  for (const auto& [key, field] : kKeysBefore) write_member(out, key, this->*field);
  if (!workload_kind.empty()) write_member(out, fmt::format("k8s.{}.name", workload_kind), workload);
  for (const auto& [key, field] : kKeysAfter) write_member(out, key, this->*field);
  return out;
}

std::optional<Baggage> Baggage::parse(std::string_view text) {
  if (text.size() > limits::kMaxHeaderValueBytes) return std::nullopt;
  Baggage baggage;
  while (!text.empty()) {
    std::string_view member = trimmed(cut(text, ','));
    if (member.empty()) continue;              // an empty list element (RFC 9110, section 5.6.1)
    std::string_view pair = cut(member, ';');  // properties are skipped
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view key = trimmed(pair.substr(0, equals));
    auto value = percent_decoded(trimmed(pair.substr(equals + 1)));
    if (!is_token(key) || !value) return std::nullopt;
    assign(baggage, key, std::move(*value));
  }
  return baggage;
}

std::string Forwarded::write() const {
  std::string out = fmt::format("for=\"{}\"", client.text());
  if (!host.empty()) out += ";host=" + (is_token(host) ? host : '"' + host + '"');
  return out;
}

std::optional<Forwarded> Forwarded::parse(std::string_view text) {
  if (text.size() > limits::kMaxHeaderValueBytes) return std::nullopt;
  std::optional<SocketAddress> client;
  std::optional<std::string> host;
  while (!text.empty()) {
    const std::string_view pair = trimmed(cut(text, ';'));
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || !is_token(pair.substr(0, equals))) return std::nullopt;
    const std::string_view name = pair.substr(0, equals);
    const auto value = pair_value(pair.substr(equals + 1));
    if (!value) return std::nullopt;  // a second element, too: its comma is no token's byte
    if (equal_ignoring_case(name, "for")) {
      const auto address = SocketAddress::parse(*value);
      if (client || !address) return std::nullopt;
      client = address;
    } else if (equal_ignoring_case(name, "host")) {
      if (host || !is_host(*value)) return std::nullopt;
      host = std::string(*value);
    }
  }
  if (!client) return std::nullopt;
  return Forwarded{*client, host.value_or("")};
}

}  // namespace leat::hbone
