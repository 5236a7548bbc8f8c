#include "userspace-proxy/http1/head_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "userspace-proxy/http1/limits.h"
#include "userspace-proxy/http1/scan.h"
#include "userspace-proxy/http1/writer.h"

namespace leat::http1 {
namespace {

bool is_lower_case(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return c >= 'A' && c <= 'Z'; });
}

bool is_target(std::string_view text) {
  const char* end = text.data() + text.size();
  return (text.starts_with('/') || text == "*") && skip_target(text.data(), end) == end;
}

Span span(size_t begin, size_t end) { return {static_cast<uint16_t>(begin), static_cast<uint16_t>(end - begin)}; }

}  // namespace

void HeadBuilder::begin(Kind kind) {
  kind_ = kind;
  fault_ = Fault::kNone;
  in_fields_ = false;
  line_ = {};
  fields_.clear();
  for (std::string* text : {&method_, &path_, &authority_, &cookie_}) text->clear();
}

void HeadBuilder::add(std::string_view name, std::string_view value) {
  if (fault_ != Fault::kNone) return;
  if (name.starts_with(':')) return add_pseudo(name, value);
  begin_fields();
  if (name.size() > limits::kNameBytes) return refuse(Fault::kNameTooLong);
  if (!is_token(name) || !is_lower_case(name)) return refuse(Fault::kBadFieldName);
  if (!is_field_value(value)) return refuse(Fault::kControlCharacter);
  const Name known = classify(name);
  if (is_hop_by_hop(known) && (known != Name::kTe || !equal_ignoring_case(value, "trailers"))) {
    return refuse(Fault::kConnectionField);
  }
  if (kind_ == Kind::kTrailers && is_barred_from_trailers(known)) return;
  if (kind_ == Kind::kRequest && known == Name::kHost && !authority_.empty()) {
    if (!equal_ignoring_case(value, authority_)) refuse(Fault::kHostMismatch);
    return;  // it stands already
  }
  if (kind_ == Kind::kRequest && known == Name::kCookie) {
    if (cookie_.size() + value.size() + 2 > limits::kHeadBytes) return refuse(Fault::kHeadTooLarge);
    if (!cookie_.empty()) cookie_.append("; ");
    cookie_.append(value);
    return;
  }
  append(name, value);
}

void HeadBuilder::add_pseudo(std::string_view name, std::string_view value) {
  if (in_fields_) return refuse(Fault::kBadFieldName);
  if (name == ":method") {
    if (value.size() > limits::kMethodBytes) return refuse(Fault::kMethodTooLong);
    method_ = value;
  } else if (name == ":path") {
    if (value.size() > limits::kTargetBytes) return refuse(Fault::kTargetTooLong);
    path_ = value;
  } else if (name == ":authority") {
    if (!is_authority(value)) return refuse(Fault::kBadHost);
    authority_ = value;
  } else if (name == ":status") {
    if (value.size() != 3 || value.front() == '0' ||
        !std::ranges::all_of(value, [](char c) { return is(c, kDigitChar); }))
      return refuse(Fault::kBadStatusLine);
    line_.status = static_cast<uint16_t>((value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0'));
  } else if (name != ":scheme") {
    refuse(Fault::kBadFieldName);
  }
}

void HeadBuilder::begin_fields() {
  if (std::exchange(in_fields_, true) || kind_ == Kind::kTrailers) return;
  put_start_line();
  if (kind_ == Kind::kRequest && !authority_.empty()) append("host", authority_);
}

void HeadBuilder::put_start_line() {
  std::string& text = fields_.bytes_;
  if (kind_ == Kind::kResponse) {
    if (line_.status == 0) return refuse(Fault::kBadStatusLine);
    fmt::format_to(std::back_inserter(text), "HTTP/1.1 {} ", line_.status);
    const size_t reason = text.size();
    text += reason_phrase(line_.status);
    line_.second = span(reason, text.size());
  } else {
    if (!is_token(method_)) return refuse(Fault::kBadMethod);
    const bool connect = method_ == "CONNECT";
    if (connect ? !path_.empty() : !is_target(path_)) return refuse(Fault::kBadTarget);
    if (connect && authority_.empty()) return refuse(Fault::kBadTarget);
    text.append(method_).append(" ");
    line_.first = span(0, method_.size());
    const size_t target = text.size();
    text.append(connect ? authority_ : path_);
    line_.second = span(target, text.size());
    text.append(" HTTP/1.1");
  }
  text.append("\r\n");
}

void HeadBuilder::append(std::string_view name, std::string_view value) {
  std::string& text = fields_.bytes_;
  const size_t limit = kind_ == Kind::kTrailers ? limits::kTrailerBytes : limits::kHeadBytes;
  // ": ", a line end, and the line end behind all of them
  if (text.size() + name.size() + value.size() + 6 > limit) {
    return refuse(kind_ == Kind::kTrailers ? Fault::kTrailersTooLarge : Fault::kHeadTooLarge);
  }
  if (fields_.list_.size() == limits::kFields) return refuse(Fault::kTooManyFields);
  Field field;
  field.name_offset = static_cast<uint16_t>(text.size());
  field.name_size = static_cast<uint8_t>(name.size());
  field.id = classify(name);
  field.hop = is_hop_by_hop(field.id);
  text.append(name).append(": ");
  field.value = span(text.size(), text.size() + value.size());
  text.append(value).append("\r\n");
  fields_.append(field);
}

void HeadBuilder::close_section(Fields& fields) {
  if (fault_ == Fault::kNone) begin_fields();
  if (!cookie_.empty()) append("cookie", cookie_);
  fields_.bytes_.append("\r\n");
  std::swap(fields, fields_);
}

Fault HeadBuilder::finish(RequestHead& head, bool ended) {
  close_section(head.fields_);
  if (fault_ == Fault::kNone) refuse(Rules::apply(head, line_));
  if (fault_ != Fault::kNone) return fault_;
  Connection& connection = head.connection_;
  if (!ended && !head.fields_.has(Name::kContentLength)) connection.framing = Framing::kChunked;
  return Fault::kNone;
}

Fault HeadBuilder::finish(ResponseHead& head, Asked asked, bool ended) {
  close_section(head.fields_);
  if (fault_ == Fault::kNone) refuse(Rules::apply(head, line_, asked));
  if (fault_ != Fault::kNone) return fault_;
  Connection& connection = head.connection_;
  connection.keep_alive = true;  // of connections HTTP/2 does not speak in heads
  if (connection.framing == Framing::kUntilClose) {
    connection.framing = ended ? Framing::kNone : Framing::kChunked;
    connection.empty = ended;
  }
  return Fault::kNone;
}

Fault HeadBuilder::finish(Fields& trailers) {
  close_section(trailers);
  return fault_;
}

}  // namespace leat::http1
