#include "userspace-proxy/http1/head_parser.h"

#include <algorithm>

#include "userspace-proxy/http1/limits.h"
#include "userspace-proxy/http1/scan.h"

namespace leat::http1 {
namespace {

// Once a head has come in pieces, it is copied so much at a time: what lies behind its end is copied in vain.
constexpr size_t kPieceBytes = 1024;

// Whole, as nearly always, it need not be read byte by byte.
constexpr std::string_view kCommonVersion = "HTTP/1.1";

Span span(uint32_t begin, uint32_t end) { return {static_cast<uint16_t>(begin), static_cast<uint16_t>(end - begin)}; }

// What is wrong with `c`, which can't stand where it does.
Fault stray(char c, Fault otherwise) {
  if (c == '\n') return Fault::kBareLf;
  if ((static_cast<uint8_t>(c) < 0x20 && c != '\r') || c == 0x7f) return Fault::kControlCharacter;
  return otherwise;
}

}  // namespace

void HeadParser::reset() {
  phase_ = kind_ == Kind::kRequest    ? Phase::kFirstByte
           : kind_ == Kind::kResponse ? Phase::kVersion
                                      : Phase::kFieldStart;
  fault_ = Fault::kNone;
  started_ = false;
  http10_ = unsupported_ = false;
  status_ = 0;
  first_ = second_ = {};
  at_ = mark_ = 0;
}

HeadParser::Progress HeadParser::refuse(Fault fault) {
  fault_ = fault;
  return Progress::kFault;
}

HeadParser::Progress HeadParser::read(ring::Chain& input, Fields& fields) {
  if (fault_ != Fault::kNone) return Progress::kFault;
  while (!input.empty()) {
    const ring::Buffer& slice = input.slices().front();
    const auto* bytes = reinterpret_cast<const char*>(slice.data());
    if (phase_ == Phase::kFirstByte || phase_ == Phase::kEmptyLineEnd) {
      if (skip_empty_line(*bytes)) input.consume(1);
      if (fault_ != Fault::kNone) return Progress::kFault;
      continue;
    }
    started_ = true;
    const size_t before = fields.bytes_.size();
    size_t offered = slice.size();
    Progress progress;
    if (before == 0) {
      progress = parse(bytes, offered, fields);
      if (progress == Progress::kFault) return progress;
      fields.bytes_.assign(bytes, at_);
    } else {
      offered = std::min(offered, kPieceBytes);
      fields.bytes_.append(bytes, offered);
      progress = parse(fields.bytes_.data(), fields.bytes_.size(), fields);
      if (progress == Progress::kFault) return progress;
      fields.bytes_.resize(at_);
    }
    input.consume(at_ - before);
    if (progress == Progress::kDone) return progress;
  }
  return Progress::kNeedMore;
}

// Whether `c` belongs to the one empty line that may stand before a request (RFC 9112, section 2.2).
bool HeadParser::skip_empty_line(char c) {
  if (phase_ == Phase::kEmptyLineEnd) {
    if (c != '\n') return refuse(Fault::kBareCr), false;
    phase_ = Phase::kMethod;
    return true;
  }
  phase_ = c == '\r' ? Phase::kEmptyLineEnd : Phase::kMethod;
  return c == '\r';
}

HeadParser::Progress HeadParser::parse(const char* bytes, size_t size, Fields& fields) {
  const size_t limit = kind_ == Kind::kTrailers ? limits::kTrailerBytes : limits::kHeadBytes;
  const auto end = static_cast<uint32_t>(std::min(size, limit));
  Progress progress = phase_ < Phase::kFieldStart ? parse_start_line(bytes, end) : Progress::kDone;
  if (progress == Progress::kDone) progress = parse_fields(bytes, end, fields);
  if (progress == Progress::kNeedMore && end == limit) {
    return refuse(kind_ == Kind::kTrailers ? Fault::kTrailersTooLarge : Fault::kHeadTooLarge);
  }
  return progress;
}

// kDone: the line is over.
HeadParser::Progress HeadParser::parse_start_line(const char* bytes, uint32_t end) {
  // Up to `most` characters of a class from mark_ on, and one more: what comes after them.
  const auto scan = [&](auto skip, size_t most) {
    const uint32_t stop = std::min<uint32_t>(end, mark_ + static_cast<uint32_t>(most) + 1);
    at_ = static_cast<uint32_t>(skip(bytes + at_, bytes + stop) - bytes);
    return at_ - mark_ <= most;
  };
  for (;;) {
    if (at_ == end) return Progress::kNeedMore;
    switch (phase_) {
      case Phase::kMethod:
        if (!scan(skip_token, limits::kMethodBytes)) return refuse(Fault::kMethodTooLong);
        if (at_ == end) return Progress::kNeedMore;
        if (bytes[at_] != ' ' || at_ == 0) return refuse(stray(bytes[at_], Fault::kBadMethod));
        first_ = span(0, at_);
        mark_ = ++at_;
        phase_ = Phase::kTarget;
        break;
      case Phase::kTarget:
        if (!scan(skip_target, limits::kTargetBytes)) return refuse(Fault::kTargetTooLong);
        if (at_ == end) return Progress::kNeedMore;
        if (bytes[at_] != ' ') return refuse(after_target(bytes[at_]));
        if (at_ == mark_) return refuse(Fault::kBadRequestLine);
        second_ = span(mark_, at_);
        mark_ = ++at_;
        phase_ = Phase::kVersion;
        break;
      case Phase::kVersion:
        if (at_ == mark_ && std::string_view(bytes + at_, end - at_).starts_with(kCommonVersion)) {
          at_ += kCommonVersion.size() - 1;
        }
        if (const Fault fault = parse_version_byte(bytes[at_]); fault != Fault::kNone) return refuse(fault);
        break;
      case Phase::kStatus:
        if (const Fault fault = parse_status_byte(bytes[at_]); fault != Fault::kNone) return refuse(fault);
        break;
      case Phase::kReason:
        at_ = static_cast<uint32_t>(skip_text(bytes + at_, bytes + end) - bytes);
        if (at_ == end) return Progress::kNeedMore;
        if (bytes[at_] != '\r') return refuse(stray(bytes[at_], Fault::kBadStatusLine));
        second_ = span(mark_, at_++);
        phase_ = Phase::kStartLineEnd;
        break;
      default:  // kStartLineEnd
        if (bytes[at_] != '\n') return refuse(Fault::kBareCr);
        ++at_;
        phase_ = Phase::kFieldStart;
        return Progress::kDone;
    }
  }
}

Fault HeadParser::after_target(char c) {
  if (c == '\r') return Fault::kBadRequestLine;  // no version: HTTP/0.9
  return stray(c, Fault::kBadTarget);
}

// "HTTP/" DIGIT "." DIGIT, then CR in a request, a space in a response.
Fault HeadParser::parse_version_byte(char c) {
  constexpr std::string_view kForm = "HTTP/d.d";
  const uint32_t position = at_++ - mark_;
  if (position < kForm.size()) {
    const bool digit = kForm[position] == 'd';
    if (digit ? !is(c, kDigitChar) : c != kForm[position]) {
      if (kind_ == Kind::kResponse) return Fault::kBadStatusLine;
      return c == ' ' ? Fault::kBadRequestLine : stray(c, Fault::kBadVersion);
    }
    if (position == kForm.size() - 3 && c != '1') unsupported_ = true;
    if (position == kForm.size() - 1) {
      if (c > '1') unsupported_ = true;
      http10_ = c == '0';
    }
    return Fault::kNone;
  }
  if (kind_ == Kind::kRequest) {
    if (c != '\r') return c == ' ' ? Fault::kBadRequestLine : stray(c, Fault::kBadVersion);
    if (unsupported_) return Fault::kUnsupportedVersion;
    phase_ = Phase::kStartLineEnd;
    return Fault::kNone;
  }
  if (c != ' ') return stray(c, Fault::kBadStatusLine);
  if (unsupported_) return Fault::kUnsupportedVersion;
  mark_ = at_;
  phase_ = Phase::kStatus;
  return Fault::kNone;
}

// Three digits, then a space and a reason, or (common, though the grammar wants the space) the line's end.
Fault HeadParser::parse_status_byte(char c) {
  const uint32_t position = at_++ - mark_;
  if (position < 3) {
    if (!is(c, kDigitChar)) return stray(c, Fault::kBadStatusLine);
    status_ = static_cast<uint16_t>(status_ * 10 + (c - '0'));
    return Fault::kNone;
  }
  if (status_ < 100 || (c != ' ' && c != '\r')) return stray(c, Fault::kBadStatusLine);
  mark_ = at_;
  phase_ = c == ' ' ? Phase::kReason : Phase::kStartLineEnd;
  return Fault::kNone;
}

HeadParser::Progress HeadParser::parse_fields(const char* bytes, uint32_t end, Fields& fields) {
  for (;;) {
    if (at_ == end) return Progress::kNeedMore;
    switch (phase_) {
      case Phase::kFieldStart:
        if (bytes[at_] == '\r') {
          ++at_;
          phase_ = Phase::kSectionEnd;
          break;
        }
        if (bytes[at_] == ' ' || bytes[at_] == '\t') return refuse(Fault::kFoldedLine);
        mark_ = at_;
        phase_ = Phase::kName;
        [[fallthrough]];
      case Phase::kName: {
        const uint32_t stop = std::min<uint32_t>(end, mark_ + limits::kNameBytes + 1);
        at_ = static_cast<uint32_t>(skip_token(bytes + at_, bytes + stop) - bytes);
        if (at_ - mark_ > limits::kNameBytes) return refuse(Fault::kNameTooLong);
        if (at_ == end) return Progress::kNeedMore;
        if (bytes[at_] != ':' || at_ == mark_) return refuse(after_name(bytes[at_]));
        if (fields.list_.size() == limits::kFields) return refuse(Fault::kTooManyFields);
        field_.name_offset = static_cast<uint16_t>(mark_);
        field_.name_size = static_cast<uint8_t>(at_ - mark_);
        field_.id = classify({bytes + mark_, field_.name_size});
        mark_ = ++at_;
        phase_ = Phase::kValue;
        [[fallthrough]];
      }
      case Phase::kValue:
        at_ = static_cast<uint32_t>(skip_text(bytes + at_, bytes + end) - bytes);
        if (at_ == end) return Progress::kNeedMore;
        if (bytes[at_] != '\r') return refuse(stray(bytes[at_], Fault::kControlCharacter));
        add_field(bytes, fields);
        ++at_;
        phase_ = Phase::kFieldEnd;
        break;
      case Phase::kFieldEnd:
        if (bytes[at_] != '\n') return refuse(Fault::kBareCr);
        ++at_;
        phase_ = Phase::kFieldStart;
        break;
      default:  // kSectionEnd
        if (bytes[at_] != '\n') return refuse(Fault::kBareCr);
        ++at_;
        phase_ = Phase::kDone;
        return Progress::kDone;
    }
  }
}

Fault HeadParser::after_name(char c) {
  if (c == ' ' || c == '\t') return Fault::kBlankBeforeColon;
  if (c == '\n') return Fault::kBareLf;
  return Fault::kBadFieldName;
}

// The field whose name is in field_ and whose value lies in [mark_, at_), with blanks around it.
void HeadParser::add_field(const char* bytes, Fields& fields) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  uint32_t begin = mark_;
  uint32_t end = at_;
  while (begin < end && blank(bytes[begin])) ++begin;
  while (end > begin && blank(bytes[end - 1])) --end;
  field_.value = span(begin, end);
  field_.hop = is_hop_by_hop(field_.id);
  if (kind_ == Kind::kTrailers && is_barred_from_trailers(field_.id)) return;
  fields.append(field_);
}

}  // namespace leat::http1
