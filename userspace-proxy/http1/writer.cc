#include "userspace-proxy/http1/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>

#include "common/check.h"
#include "userspace-proxy/http1/limits.h"
#include "userspace-proxy/http1/scan.h"

namespace leat::http1 {
namespace {

// Appends pieces whose sum the pool was asked for beforehand, so that none can fail.
class Appender {
 public:
  Appender(ring::Chain& out, ring::BufferPool& pool) : out_(out), pool_(pool) {}

  // Whether the pool has blocks for `bytes`, wherever the last block's room ends.
  [[nodiscard]] bool has_room(size_t bytes) const {
    return pool_.free_blocks() >= bytes / ring::BufferPool::kBlockBytes + 1;
  }
  void put(std::string_view text) {
    const bool whole = out_.append_copy(pool_, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
    LEAT_CHECK(whole, "the pool had the blocks for this");
  }
  void put_field(std::string_view name, std::string_view value) {
    put(name);
    put(": ");
    put(value);
    put("\r\n");
  }

 private:
  ring::Chain& out_;
  ring::BufferPool& pool_;
};

size_t size_of(std::span<const FieldLine> lines) {
  size_t size = 0;
  for (const FieldLine& line : lines) size += line.name.size() + line.value.size() + 4;
  return size;
}

bool names(std::span<const FieldLine> lines, std::string_view name) {
  return std::ranges::any_of(lines, [&](const FieldLine& line) { return equal_ignoring_case(line.name, name); });
}

bool replaces(const Edits& edits, std::string_view name) {
  return names(edits.set, name) ||
         std::ranges::any_of(edits.remove, [&](std::string_view gone) { return equal_ignoring_case(gone, name); });
}

// More than what the writers add by themselves: version, Host, Transfer-Encoding, TE, Connection.
constexpr size_t kOwnBytes = 256;

size_t bound(const Fields& fields, const Edits& edits) {
  return fields.bytes().size() + size_of(edits.set) + size_of(edits.add) + kOwnBytes;
}

// Copies `fields` but for those that `dropped` names or the edits replace; neighbours that stay go as one piece, from
// `from` (in the start line, or its end) on.
template <typename Dropped>
void put_kept(Appender& appender, const Fields& fields, size_t from, const Edits& edits, Dropped dropped) {
  const std::string_view bytes = fields.bytes();
  const bool edited = !edits.set.empty() || !edits.remove.empty();
  const std::span<const Field> all = fields.all();
  for (size_t i = 0; i < all.size(); ++i) {
    if (!dropped(all[i]) && !(edited && replaces(edits, fields.name(all[i])))) continue;
    if (from < all[i].name_offset) appender.put(bytes.substr(from, all[i].name_offset - from));
    from = i + 1 < all.size() ? all[i + 1].name_offset : bytes.size() - 2;
  }
  if (from < bytes.size() - 2) appender.put(bytes.substr(from, bytes.size() - 2 - from));
  for (const FieldLine& line : edits.set) appender.put_field(line.name, line.value);
  for (const FieldLine& line : edits.add) appender.put_field(line.name, line.value);
}

std::string_view connection_line(Framing framing, Client client) {
  if (!client.keep_alive || framing == Framing::kUntilClose) return "connection: close\r\n";
  return client.http10 ? "connection: keep-alive\r\n" : "";
}

}  // namespace

bool is_token(std::string_view text) {
  return !text.empty() && skip_token(text.data(), text.data() + text.size()) == text.data() + text.size();
}

bool is_field_value(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  if (!text.empty() && (blank(text.front()) || blank(text.back()))) return false;
  return skip_text(text.data(), text.data() + text.size()) == text.data() + text.size();
}

bool write_request(ring::Chain& out, ring::BufferPool& pool, const RequestHead& head, const RequestEdits& edits) {
  Appender appender(out, pool);
  const Fields& fields = head.fields();
  if (!appender.has_room(bound(fields, edits.fields) + edits.target.size())) return false;

  const Connection& connection = head.connection();
  std::string_view target = head.method() == Method::kConnect ? head.target() : head.path_and_query();
  if (!edits.target.empty()) target = edits.target;
  const std::string_view bytes = fields.bytes();
  size_t from = 0;
  if (connection.http10 || target.data() != head.target().data()) {
    appender.put(head.method_text());
    appender.put(" ");
    appender.put(target);
    appender.put(" HTTP/1.1\r\n");
    from = bytes.find('\n') + 1;
  }
  const bool upgrade = edits.upgrade && connection.upgrade;
  put_kept(appender, fields, from, edits.fields, [&](const Field& field) {
    // A client of HTTP/1.0 can't be sent the interim response that Expect asks for.
    if (field.id == Name::kExpect) return connection.http10;
    return field.hop && !(upgrade && field.id == Name::kUpgrade);
  });

  if (!fields.has(Name::kHost) && !names(edits.fields.set, "host") && !names(edits.fields.add, "host")) {
    appender.put_field("host", head.authority());
  }
  if (connection.framing == Framing::kChunked) appender.put("transfer-encoding: chunked\r\n");
  if (connection.te_trailers) appender.put("te: trailers\r\n");
  if (edits.close || upgrade || connection.te_trailers) {
    appender.put("connection: ");
    std::string_view separator;
    const auto option = [&](bool wanted, std::string_view name) {
      if (!wanted) return;
      appender.put(separator);
      appender.put(name);
      separator = ", ";
    };
    option(edits.close, "close");
    option(upgrade, "upgrade");
    option(connection.te_trailers, "te");
    appender.put("\r\n");
  }
  appender.put("\r\n");
  return true;
}

Framing framing_for(const ResponseHead& head, Client client) {
  const Framing framing = head.connection().framing;
  if (framing != Framing::kChunked && framing != Framing::kUntilClose) return framing;
  return client.http10 ? Framing::kUntilClose : Framing::kChunked;
}

bool write_response(ring::Chain& out, ring::BufferPool& pool, const ResponseHead& head, Client client,
                    const Edits& edits) {
  Appender appender(out, pool);
  const Fields& fields = head.fields();
  if (!appender.has_room(bound(fields, edits))) return false;

  size_t from = 0;
  if (head.connection().http10) {
    constexpr std::string_view kVersion = "HTTP/1.1";
    appender.put(kVersion);
    from = kVersion.size();
  }
  const bool switches = head.connection().upgrade;
  const bool lengthless = is_lengthless(head.status());
  put_kept(appender, fields, from, edits, [&](const Field& field) {
    return (field.hop && !(switches && field.id == Name::kUpgrade)) || (lengthless && field.id == Name::kContentLength);
  });

  const Framing framing = framing_for(head, client);
  if (framing == Framing::kChunked) appender.put("transfer-encoding: chunked\r\n");
  if (head.connection().empty) appender.put("content-length: 0\r\n");
  if (switches) {
    appender.put("connection: upgrade\r\n");
  } else if (!head.interim()) {
    appender.put(connection_line(framing, client));
  }
  appender.put("\r\n");
  return true;
}

std::string_view reason_phrase(uint16_t status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";
  }
}

bool is_lengthless(uint16_t status) { return status < 200 || status == 204; }

std::vector<FieldLine> fields_of(const LocalResponse& response) {
  std::vector<FieldLine> fields;
  const auto put_own = [&](std::string_view name, std::string_view value) {
    if (!value.empty() && !replaces(response.edits, name)) fields.push_back({name, value});
  };
  if (!response.body.empty() && !is_lengthless(response.status)) put_own("content-type", "text/plain");
  put_own("location", response.location);
  put_own("leat-reason", response.reason);
  for (const FieldLine& line : response.edits.set) fields.push_back(line);
  for (const FieldLine& line : response.edits.add) fields.push_back(line);
  return fields;
}

bool write_local_response(ring::Chain& out, ring::BufferPool& pool, const LocalResponse& response, Client client) {
  const bool lengthless = is_lengthless(response.status);
  std::string text = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_phrase(response.status));
  for (const FieldLine& line : fields_of(response))
    fmt::format_to(std::back_inserter(text), "{}: {}\r\n", line.name, line.value);
  if (!lengthless) fmt::format_to(std::back_inserter(text), "content-length: {}\r\n", response.body.size());
  text += connection_line(Framing::kLength, client);
  text += "\r\n";
  if (!response.bodiless && !lengthless) text += response.body;
  Appender appender(out, pool);
  if (!appender.has_room(text.size())) return false;
  appender.put(text);
  return true;
}

// ---- bodies

bool write_chunk(ring::Chain& out, ring::BufferPool& pool, ring::Chain& data) {
  if (data.empty()) return true;
  Appender appender(out, pool);
  const bool copied = data.size() <= limits::kCopiedChunkBytes;
  // Not copied, the data stands between two pieces that may need a block each.
  if (!appender.has_room(copied ? kOwnBytes + data.size() : ring::BufferPool::kBlockBytes)) return false;
  std::array<char, 24> size;
  const char* end = fmt::format_to_n(size.data(), size.size(), "{:x}\r\n", data.size()).out;
  appender.put({size.data(), static_cast<size_t>(end - size.data())});
  if (copied) {
    for (const ring::Buffer& slice : data.slices()) {
      appender.put({reinterpret_cast<const char*>(slice.data()), slice.size()});
    }
    data.clear();
  } else {
    out.append(std::move(data));
  }
  appender.put("\r\n");
  return true;
}

bool write_last_chunk(ring::Chain& out, ring::BufferPool& pool, const Fields& trailers) {
  Appender appender(out, pool);
  if (!appender.has_room(trailers.bytes().size() + trailers.all().size() * 4 + kOwnBytes)) return false;
  appender.put("0\r\n");
  for (const Field& field : trailers.all()) appender.put_field(trailers.name(field), trailers.value(field));
  appender.put("\r\n");
  return true;
}

bool write_last_chunk(ring::Chain& out, ring::BufferPool& pool) {
  Appender appender(out, pool);
  if (!appender.has_room(kOwnBytes)) return false;
  appender.put("0\r\n\r\n");
  return true;
}

}  // namespace leat::http1
