#include "userspace-proxy/http1/rules.h"

#include <algorithm>
#include <array>
#include <utility>

#include "userspace-proxy/http1/limits.h"
#include "userspace-proxy/http1/scan.h"

namespace leat::http1 {
namespace {

bool all(std::string_view text, CharClass which) {
  return skip(text.data(), text.data() + text.size(), which) == text.data() + text.size();
}

// Calls visit(element) for each element of a comma-separated list that is not empty; stops where it returns false.
template <typename Visit>
bool for_each_element(std::string_view list, Visit visit) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string_view element = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    const auto blank = [](char c) { return c == ' ' || c == '\t'; };
    while (!element.empty() && blank(element.front())) element.remove_prefix(1);
    while (!element.empty() && blank(element.back())) element.remove_suffix(1);
    if (!element.empty() && !visit(element)) return false;
  }
  return true;
}

bool lists(std::string_view list, std::string_view wanted) {
  return !for_each_element(list, [&](std::string_view element) { return !equal_ignoring_case(element, wanted); });
}

Method method_of(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, Method>, 9> kMethods = {{{"GET", Method::kGet},
                                                                            {"POST", Method::kPost},
                                                                            {"HEAD", Method::kHead},
                                                                            {"PUT", Method::kPut},
                                                                            {"DELETE", Method::kDelete},
                                                                            {"OPTIONS", Method::kOptions},
                                                                            {"PATCH", Method::kPatch},
                                                                            {"CONNECT", Method::kConnect},
                                                                            {"TRACE", Method::kTrace}}};
  for (const auto& [name, method] : kMethods) {
    if (text == name) return method;
  }
  return Method::kOther;
}

// Length of the "http://" or "https://" that an absolute target begins with; 0: of neither.
size_t scheme_size(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (equal_ignoring_case(target.substr(0, scheme.size()), scheme)) return scheme.size();
  }
  return 0;
}

}  // namespace

bool is_authority(std::string_view text) {
  std::string_view port;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos || close < 3) return false;
    const std::string_view address = text.substr(1, close - 1);
    if (address.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return false;
    port = text.substr(close + 1);
  } else {
    const auto size = static_cast<size_t>(skip_host(text.data(), text.data() + text.size()) - text.data());
    if (size == 0) return false;
    port = text.substr(size);
  }
  if (port.empty()) return true;
  if (port.front() != ':') return false;
  port.remove_prefix(1);
  if (port.empty() || port.size() > 5 || !all(port, kDigitChar)) return false;
  uint32_t number = 0;
  for (const char c : port) number = number * 10 + static_cast<uint32_t>(c - '0');
  return number <= 65535;
}

Fault Rules::apply(RequestHead& head, const StartLine& line) {
  head.connection_ = {.http10 = line.http10};
  head.method_text_ = line.first;
  head.method_ = method_of(head.method_text());
  head.target_ = line.second;
  if (const Fault fault = find_target(head); fault != Fault::kNone) return fault;
  if (const Fault fault = find_authority(head); fault != Fault::kNone) return fault;
  if (const Fault fault = read_framing(head.fields_, head.connection_); fault != Fault::kNone) return fault;
  if (const Fault fault = read_connection(head.fields_, head.connection_); fault != Fault::kNone) return fault;

  const Fields& fields = head.fields_;
  Connection& connection = head.connection_;
  if (const Field* expect = fields.find(Name::kExpect)) {
    connection.expect_continue = !connection.http10 && equal_ignoring_case(fields.value(*expect), "100-continue");
  }
  if (const Field* te = fields.find(Name::kTe)) connection.te_trailers = lists(fields.value(*te), "trailers");
  return Fault::kNone;
}

// The four forms of RFC 9112, section 3.2. authority_ is set where the target has one.
Fault Rules::find_target(RequestHead& head) {
  const std::string_view target = head.target();
  const Span whole = head.target_;
  head.path_ = head.authority_ = {};
  if (target.find('#') != std::string_view::npos) return Fault::kFragmentInTarget;
  if (head.method_ == Method::kConnect) {
    const bool has_port = target.back() != ']' && target.find(':') != std::string_view::npos;
    if (!has_port || !is_authority(target)) return Fault::kBadTarget;
    head.authority_ = whole;
    return Fault::kNone;
  }
  if (target.front() == '/') {
    head.path_ = whole;
    return Fault::kNone;
  }
  if (target == "*") {
    head.path_ = whole;
    return head.method_ == Method::kOptions ? Fault::kNone : Fault::kBadTarget;
  }
  const size_t begin = scheme_size(target);
  const size_t end = std::min(target.find('/', begin), target.size());
  if (begin == 0 || !is_authority(target.substr(begin, end - begin))) return Fault::kBadTarget;
  const auto part = [&](size_t from, size_t to) {
    return Span{static_cast<uint16_t>(whole.offset + from), static_cast<uint16_t>(to - from)};
  };
  head.authority_ = part(begin, end);
  head.path_ = part(end, target.size());
  return Fault::kNone;
}

Fault Rules::find_authority(RequestHead& head) {
  const Fields& fields = head.fields_;
  const Field* host = fields.find(Name::kHost);
  if (host == nullptr) return head.connection_.http10 ? Fault::kNone : Fault::kNoHost;
  if (fields.repeated(Name::kHost)) return Fault::kManyHosts;
  if (!is_authority(fields.value(*host))) return Fault::kBadHost;
  if (head.authority_.size == 0) {
    head.authority_ = host->value;
  } else if (!equal_ignoring_case(head.authority(), fields.value(*host))) {
    return Fault::kHostMismatch;
  }
  return Fault::kNone;
}

Fault Rules::apply(ResponseHead& head, const StartLine& line, Asked asked) {
  head.connection_ = {.http10 = line.http10};
  head.reason_ = line.second;
  head.status_ = line.status;
  Connection& connection = head.connection_;
  if (const Fault fault = read_framing(head.fields_, connection); fault != Fault::kNone) return fault;
  if (const Fault fault = read_connection(head.fields_, connection); fault != Fault::kNone) return fault;

  const bool switches = head.status_ == 101;
  if (switches && (!asked.upgrade || connection.http10)) return Fault::kUnaskedUpgrade;
  const bool tunnel = asked.connect && head.status_ / 100 == 2;
  const bool bodiless = asked.head || head.status_ < 200 || head.status_ == 204 || head.status_ == 304 || tunnel;
  const bool length_known = head.fields_.has(Name::kContentLength);
  if (bodiless) {
    connection.framing = Framing::kNone;
  } else if (connection.framing == Framing::kNone && !length_known) {
    connection.framing = Framing::kUntilClose;
  }
  connection.upgrade = switches;
  connection.keep_alive = connection.keep_alive && connection.framing != Framing::kUntilClose && !switches && !tunnel;
  return Fault::kNone;
}

// RFC 9112, section 6, where it leaves a choice in the way that no two readers can differ.
Fault Rules::read_framing(const Fields& fields, Connection& connection) {
  if (const Field* coding = fields.find(Name::kTransferEncoding)) {
    if (connection.http10) return Fault::kCodingInHttp10;
    if (fields.has(Name::kContentLength)) return Fault::kLengthAndCoding;
    if (fields.repeated(Name::kTransferEncoding)) return Fault::kBadTransferEncoding;
    const std::string_view value = fields.value(*coding);
    if (equal_ignoring_case(value, "chunked")) {
      connection.framing = Framing::kChunked;
      return Fault::kNone;
    }
    const bool unknown = for_each_element(value, [](std::string_view name) { return all(name, kTokenChar); }) &&
                         !for_each_element(value, [](std::string_view name) {
                           return equal_ignoring_case(name, "chunked") || equal_ignoring_case(name, "identity");
                         });
    return unknown ? Fault::kUnknownTransferCoding : Fault::kBadTransferEncoding;
  }
  const Field* length = fields.find(Name::kContentLength);
  if (length == nullptr) return Fault::kNone;
  if (fields.repeated(Name::kContentLength)) return Fault::kManyContentLengths;
  const std::string_view digits = fields.value(*length);
  if (digits.empty() || !all(digits, kDigitChar)) return Fault::kBadContentLength;
  for (const char c : digits) {
    connection.content_length = connection.content_length * 10 + static_cast<uint64_t>(c - '0');
    if (connection.content_length > limits::kBodyBytes) return Fault::kBodyTooLarge;
  }
  connection.framing = connection.content_length > 0 ? Framing::kLength : Framing::kNone;
  return Fault::kNone;
}

// The Connection fields: whether the connection lives on, and which fields end here besides those that always do.
Fault Rules::read_connection(Fields& fields, Connection& connection) {
  connection.keep_alive = !connection.http10;
  if (!fields.has(Name::kConnection)) return Fault::kNone;
  bool close = false;
  bool upgrade = false;
  size_t options = 0;
  for (const Field& field : fields.list_) {
    if (field.id != Name::kConnection) continue;
    const bool few = for_each_element(fields.value(field), [&](std::string_view option) {
      if (equal_ignoring_case(option, "close")) {
        close = true;
      } else if (equal_ignoring_case(option, "keep-alive")) {
        connection.keep_alive = true;
      } else if (equal_ignoring_case(option, "upgrade")) {
        upgrade = true;
      } else {
        drop(fields, option);
      }
      return ++options <= limits::kConnectionOptions;
    });
    if (!few) return Fault::kTooManyConnectionOptions;
  }
  if (close) connection.keep_alive = false;
  const Field* protocol = fields.find(Name::kUpgrade);
  // h2c has no place behind a proxy: it would take the connection out of the rules of HTTP/1.1 by a side door.
  connection.upgrade = upgrade && !connection.http10 && protocol != nullptr && protocol->value.size > 0 &&
                       !fields.repeated(Name::kUpgrade) && !lists(fields.value(*protocol), "h2c");
  return Fault::kNone;
}

void Rules::drop(Fields& fields, std::string_view name) {
  for (Field& field : fields.list_) {
    if (!is_protected(field.id) && equal_ignoring_case(fields.name(field), name)) field.hop = true;
  }
}

}  // namespace leat::http1
