#include "userspace-proxy/http1/body.h"

#include <algorithm>

#include "userspace-proxy/http1/limits.h"
#include "userspace-proxy/http1/scan.h"

namespace leat::http1 {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char folded = lower(c);
  return folded >= 'a' && folded <= 'f' ? folded - 'a' + 10 : -1;
}

}  // namespace

void BodyReader::begin(Framing framing, uint64_t length) {
  if (framing_ == Framing::kChunked) trailer_parser_.restart(trailers_);
  framing_ = framing;
  phase_ = Phase::kSize;
  fault_ = Fault::kNone;
  digits_ = 0;
  extension_bytes_ = 0;
  all_extension_bytes_ = 0;
  left_ = framing == Framing::kLength ? length : 0;
  bytes_ = 0;
}

Step BodyReader::refuse(Fault fault) {
  fault_ = fault;
  return Step::kFault;
}

Step BodyReader::read(ring::Chain& input, ring::Chain& body) {
  switch (framing_) {
    case Framing::kNone:
      return Step::kEnd;
    case Framing::kLength:
      move(input, body);
      return left_ == 0 ? Step::kEnd : Step::kNeedMore;
    case Framing::kChunked:
      return read_chunks(input, body);
    case Framing::kUntilClose:
      left_ = input.size();
      move(input, body);
      return Step::kNeedMore;
  }
  return Step::kNeedMore;
}

void BodyReader::move(ring::Chain& input, ring::Chain& body) {
  const size_t bytes = std::min<uint64_t>(left_, input.size());
  left_ -= bytes;
  bytes_ += bytes;
  body.append(input.take(bytes));
}

Step BodyReader::read_chunks(ring::Chain& input, ring::Chain& body) {
  if (fault_ != Fault::kNone) return Step::kFault;
  while (phase_ != Phase::kTrailers) {
    if (input.empty()) return Step::kNeedMore;
    if (phase_ == Phase::kData) {
      move(input, body);
      if (left_ == 0) phase_ = Phase::kDataCr;
      continue;
    }
    const ring::Buffer& slice = input.slices().front();
    const auto* begin = reinterpret_cast<const char*>(slice.data());
    const char* at = begin;
    const Fault fault = read_framing(at, begin + slice.size());
    if (fault != Fault::kNone) return refuse(fault);
    input.consume(static_cast<size_t>(at - begin));
  }
  switch (trailer_parser_.read(input, trailers_)) {
    case HeadParser::Progress::kNeedMore:
      return Step::kNeedMore;
    case HeadParser::Progress::kDone:
      return Step::kEnd;
    case HeadParser::Progress::kFault:
      break;
  }
  return refuse(trailer_parser_.fault());
}

// Reads what stands between the data of two chunks, as far as it goes.
Fault BodyReader::read_framing(const char*& at, const char* end) {
  for (; at < end; ++at) {
    switch (phase_) {
      case Phase::kSize:
        if (const Fault fault = read_size_byte(*at); fault != Fault::kNone) return fault;
        break;
      case Phase::kExtension:
        if (*at == '\r') {
          phase_ = Phase::kSizeEnd;
        } else if (!is(*at, kTextChar)) {
          return *at == '\n' ? Fault::kBareLf : Fault::kBadChunkExtension;
        } else if (++extension_bytes_ > limits::kChunkExtensionBytes ||
                   ++all_extension_bytes_ > limits::kBodyExtensionBytes) {
          return Fault::kChunkExtensionTooLarge;
        }
        break;
      case Phase::kSizeEnd:
        if (*at != '\n') return Fault::kBareCr;
        digits_ = 0;
        extension_bytes_ = 0;
        phase_ = left_ > 0 ? Phase::kData : Phase::kTrailers;
        ++at;
        return Fault::kNone;
      case Phase::kDataCr:
        if (*at != '\r') return Fault::kNoLineEndAfterChunk;
        phase_ = Phase::kDataLf;
        break;
      case Phase::kDataLf:
        if (*at != '\n') return Fault::kNoLineEndAfterChunk;
        phase_ = Phase::kSize;
        break;
      case Phase::kData:
      case Phase::kTrailers:
        return Fault::kNone;
    }
  }
  return Fault::kNone;
}

Fault BodyReader::read_size_byte(char c) {
  if (const int value = hex_digit(c); value >= 0) {
    left_ = left_ * 16 + static_cast<uint64_t>(value);
    return ++digits_ > limits::kChunkSizeDigits || left_ > limits::kBodyBytes ? Fault::kBodyTooLarge : Fault::kNone;
  }
  if (digits_ == 0 || (c != '\r' && c != ';')) return c == '\n' ? Fault::kBareLf : Fault::kBadChunkSize;
  phase_ = c == '\r' ? Phase::kSizeEnd : Phase::kExtension;
  return Fault::kNone;
}

}  // namespace leat::http1
