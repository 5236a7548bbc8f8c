#include "userspace-proxy/tls/client_hello.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace leat::tls {
namespace {

constexpr size_t kMaxRecordBytes = 16 * 1024;
constexpr uint8_t kClientHello = 1;
constexpr uint16_t kServerName = 0;  // of extensions
constexpr uint8_t kHostName = 0;     // of names

// Reads from the front of what is left. Every read beyond the end fails, and all after it.
class Bytes {
 public:
  explicit Bytes(std::string_view text) : text_(text) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }

  std::string_view take(size_t size) {
    if (size > text_.size()) ok_ = false;
    if (!ok_) return {};
    const std::string_view taken = text_.substr(0, size);
    text_.remove_prefix(size);
    return taken;
  }
  uint32_t number(size_t bytes) {
    uint32_t value = 0;
    for (const char byte : take(bytes)) value = value << 8 | static_cast<uint8_t>(byte);
    return value;
  }
  // A vector whose length stands in `bytes` bytes.
  std::string_view vector(size_t bytes) { return take(number(bytes)); }

 private:
  std::string_view text_;
  bool ok_ = true;
};

// A name of DNS in lower case; nothing for what can't be one.
std::optional<std::string> host_of(std::string_view text) {
  if (text.empty() || text.size() > 253) return std::nullopt;
  std::string host(text);
  for (char& letter : host) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    const bool known = (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-' ||
                       letter == '.' || letter == '_';
    if (!known) return std::nullopt;
  }
  return host;
}

// The host name of a server_name extension; nothing if it is malformed.
std::optional<std::string> read_server_name(std::string_view extension) {
  Bytes all(extension);
  Bytes names(all.vector(2));
  if (!all.ok() || !all.empty() || names.empty()) return std::nullopt;
  std::optional<std::string> host;
  while (names.ok() && !names.empty()) {
    const uint32_t type = names.number(1);
    const std::string_view name = names.vector(2);
    if (!names.ok()) return std::nullopt;
    if (type != kHostName) continue;
    if (host) return std::nullopt;
    host = host_of(name);
    if (!host) return std::nullopt;
  }
  return names.ok() ? host.value_or("") : std::optional<std::string>();
}

// What the body of a hello asks for, empty where it names nobody; nothing if it is malformed.
std::optional<std::string> read_hello(std::string_view body) {
  Bytes hello(body);
  hello.take(2 + 32);                              // version, random
  const bool fits = hello.vector(1).size() <= 32;  // session
  const std::string_view suites = hello.vector(2);
  const std::string_view compressions = hello.vector(1);
  if (!hello.ok() || !fits || suites.empty() || suites.size() % 2 != 0 || compressions.empty()) return std::nullopt;
  if (hello.empty()) return "";  // no extensions: TLS 1.2 allows it
  Bytes extensions(hello.vector(2));
  if (!hello.ok() || !hello.empty()) return std::nullopt;
  std::optional<std::string> name;
  while (extensions.ok() && !extensions.empty()) {
    const uint32_t type = extensions.number(2);
    const std::string_view data = extensions.vector(2);
    if (!extensions.ok()) return std::nullopt;
    if (type != kServerName) continue;
    if (name) return std::nullopt;
    name = read_server_name(data);
    if (!name) return std::nullopt;
  }
  return extensions.ok() ? name.value_or("") : std::optional<std::string>();
}

}  // namespace

ClientHelloReader::State ClientHelloReader::feed(std::span<const uint8_t> bytes) {
  while (state_ == State::kMore && !bytes.empty()) {
    if (record_left_ == 0) {
      bytes = bytes.subspan(take_header(bytes));
      continue;
    }
    const size_t part = std::min({record_left_, bytes.size(), kMaxClientHelloBytes + 1 - hello_.size()});
    hello_.append(reinterpret_cast<const char*>(bytes.data()), part);
    record_left_ -= part;
    bytes = bytes.subspan(part);
    state_ = parse_when_whole();
  }
  return state_;
}

// How many of `bytes` are of the header. Refuses what can't be one as soon as that is seen.
size_t ClientHelloReader::take_header(std::span<const uint8_t> bytes) {
  const size_t part = std::min(sizeof header_ - header_bytes_, bytes.size());
  std::copy_n(bytes.begin(), part, header_ + header_bytes_);
  header_bytes_ += part;
  if (header_[0] != kFirstByte || (header_bytes_ > 1 && header_[1] != 3)) state_ = State::kNotTls;
  if (header_bytes_ < sizeof header_ || state_ != State::kMore) return part;
  header_bytes_ = 0;
  record_left_ = static_cast<size_t>(header_[3]) << 8 | header_[4];
  if (record_left_ == 0 || record_left_ > kMaxRecordBytes) state_ = State::kNotTls;
  return part;
}

ClientHelloReader::State ClientHelloReader::parse_when_whole() {
  Bytes message(hello_);
  const uint32_t type = message.number(1);
  if (message.ok() && type != kClientHello) return State::kNotTls;
  const uint32_t size = message.number(3);
  if (!message.ok()) return State::kMore;
  if (size > kMaxClientHelloBytes - 4) return State::kTooLarge;
  const std::string_view body = message.take(size);
  if (!message.ok()) return State::kMore;
  // Nothing follows a hello before it is answered. The record says so by its length, however the bytes are cut.
  if (!message.empty() || record_left_ != 0) return State::kNotTls;
  std::optional<std::string> name = read_hello(body);
  if (!name) return State::kNotTls;
  server_name_ = std::move(*name);
  return State::kWhole;
}

}  // namespace leat::tls
