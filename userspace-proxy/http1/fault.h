// What can be wrong with a message: a status to answer, a label to count and a sentence for a person.
#pragma once

#include <cstdint>
#include <string_view>

namespace leat::http1 {

enum class Fault : uint8_t {
  kNone,
  // lines
  kBareCr,
  kBareLf,
  kControlCharacter,  // in a field's value or a start line
  kBadMethod,         // not a token; a leading blank or a second empty line among them
  kMethodTooLong,
  kBadTarget,
  kTargetTooLong,
  kFragmentInTarget,
  kBadRequestLine,      // not three parts with one space between
  kBadVersion,          // not HTTP/d.d
  kUnsupportedVersion,  // neither 1.0 nor 1.1
  kBadStatusLine,
  kBadFieldName,  // empty, or not a token
  kBlankBeforeColon,
  kFoldedLine,  // obs-fold, or a blank before the first field
  kNameTooLong,
  kTooManyFields,
  kHeadTooLarge,
  // meaning
  kNoHost,
  kManyHosts,
  kBadHost,
  kHostMismatch,  // the absolute target names another
  kTooManyConnectionOptions,
  kBadContentLength,
  kManyContentLengths,
  kBodyTooLarge,
  kLengthAndCoding,  // Content-Length beside Transfer-Encoding
  kBadTransferEncoding,
  kUnknownTransferCoding,
  kCodingInHttp10,
  kUnaskedUpgrade,   // 101 that no request asked for
  kConnectionField,  // HTTP/2: a field that only HTTP/1.1's connections have
  // bodies
  kBadChunkSize,
  kBadChunkExtension,
  kChunkExtensionTooLarge,
  kNoLineEndAfterChunk,  // CRLF missing after a chunk's data
  kTrailersTooLarge,
  kTruncated,  // the peer closed in the midst of a message
  kCount,
};

// The status that a request with this fault is answered with; after it the connection closes. A response with a fault
// is answered 502 to the client, whatever this says.
uint16_t status(Fault fault);
std::string_view label(Fault fault);     // "bare-lf"
std::string_view sentence(Fault fault);  // "a line ends with LF alone; end it with CRLF"

}  // namespace leat::http1
