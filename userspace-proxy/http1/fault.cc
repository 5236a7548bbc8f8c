#include "userspace-proxy/http1/fault.h"

#include <array>
#include <cstddef>

#include "common/check.h"

namespace leat::http1 {
namespace {

struct Description {
  Fault fault;
  uint16_t status;
  std::string_view label;
  std::string_view sentence;
};

constexpr std::array kDescriptions = {
    Description{Fault::kNone, 200, "none", "nothing is wrong"},
    Description{Fault::kBareCr, 400, "bare-cr", "a carriage return stands without its line feed; end lines with CRLF"},
    Description{Fault::kBareLf, 400, "bare-lf", "a line ends with a line feed alone; end lines with CRLF"},
    Description{Fault::kControlCharacter, 400, "control-character",
                "a control character stands in the head; remove or encode it"},
    Description{Fault::kBadMethod, 400, "bad-method", "the request does not begin with a method"},
    Description{Fault::kMethodTooLong, 501, "method-too-long", "the method is longer than any that is known"},
    Description{Fault::kBadTarget, 400, "bad-target",
                "the request target is not one that its method can have; percent-encode blanks and control characters"},
    Description{Fault::kTargetTooLong, 414, "target-too-long", "the request target is longer than 32 KiB"},
    Description{Fault::kFragmentInTarget, 400, "fragment-in-target",
                "the request target has a fragment; what follows '#' is never sent"},
    Description{Fault::kBadRequestLine, 400, "bad-request-line",
                "the request line is not method, target and version with one space between each"},
    Description{Fault::kBadVersion, 400, "bad-version", "the version is not HTTP/1.1 or HTTP/1.0"},
    Description{Fault::kUnsupportedVersion, 505, "unsupported-version",
                "this version of HTTP is not spoken here; use HTTP/1.1"},
    Description{Fault::kBadStatusLine, 400, "bad-status-line",
                "the response does not begin with an HTTP version and a status of three digits"},
    Description{Fault::kBadFieldName, 400, "bad-field-name",
                "a header field's name is empty or has a character that "
                "names can't have"},
    Description{Fault::kBlankBeforeColon, 400, "blank-before-colon",
                "a blank stands between a header field's name and its colon"},
    Description{Fault::kFoldedLine, 400, "folded-line",
                "a header line begins with a blank; write the field on one line"},
    Description{Fault::kNameTooLong, 431, "name-too-long", "a header field's name is longer than 255 bytes"},
    Description{Fault::kTooManyFields, 431, "too-many-fields", "there are more than 100 header fields"},
    Description{Fault::kHeadTooLarge, 431, "head-too-large", "the header fields are larger than 60 KiB"},
    Description{Fault::kNoHost, 400, "no-host", "the request has no Host field"},
    Description{Fault::kManyHosts, 400, "many-hosts", "the request has more than one Host field"},
    Description{Fault::kBadHost, 400, "bad-host", "the Host field is not a host with an optional port"},
    Description{Fault::kHostMismatch, 400, "host-mismatch",
                "the Host field and the request target name different hosts"},
    Description{Fault::kTooManyConnectionOptions, 400, "too-many-connection-options",
                "the Connection fields have more than 100 options"},
    Description{Fault::kBadContentLength, 400, "bad-content-length", "the Content-Length is not a decimal number"},
    Description{Fault::kManyContentLengths, 400, "many-content-lengths", "there is more than one Content-Length"},
    Description{Fault::kBodyTooLarge, 413, "body-too-large", "the body's length is beyond 2^60 bytes"},
    Description{Fault::kLengthAndCoding, 400, "length-and-coding",
                "there are both Content-Length and Transfer-Encoding; send one of them"},
    Description{Fault::kBadTransferEncoding, 400, "bad-transfer-encoding",
                "the Transfer-Encoding is not exactly \"chunked\""},
    Description{Fault::kUnknownTransferCoding, 501, "unknown-transfer-coding",
                "a transfer coding other than chunked is not understood here"},
    Description{Fault::kCodingInHttp10, 400, "coding-in-http10", "HTTP/1.0 has no Transfer-Encoding"},
    Description{Fault::kUnaskedUpgrade, 400, "unasked-upgrade", "the server switched protocols without being asked to"},
    Description{Fault::kConnectionField, 400, "connection-field",
                "HTTP/2 has no fields of a connection, such as Connection or Transfer-Encoding; leave them out"},
    Description{Fault::kBadChunkSize, 400, "bad-chunk-size", "a chunk's size is not a hexadecimal number"},
    Description{Fault::kBadChunkExtension, 400, "bad-chunk-extension", "a chunk extension has a control character"},
    Description{Fault::kChunkExtensionTooLarge, 400, "chunk-extension-too-large", "the chunk extensions are too large"},
    Description{Fault::kNoLineEndAfterChunk, 400, "no-line-end-after-chunk",
                "a chunk's data is not followed by CRLF; it is not as long as its size says"},
    Description{Fault::kTrailersTooLarge, 431, "trailers-too-large", "the trailers are larger than 8 KiB"},
    Description{Fault::kTruncated, 400, "truncated", "the connection closed in the midst of a message"},
};
static_assert(kDescriptions.size() == static_cast<size_t>(Fault::kCount));
static_assert(
    [] {
      for (size_t i = 0; i < kDescriptions.size(); ++i) {
        if (kDescriptions[i].fault != static_cast<Fault>(i)) return false;
      }
      return true;
    }(),
    "the table is in the order of Fault");

const Description& describe(Fault fault) {
  LEAT_CHECK(fault < Fault::kCount, "a fault that is none");
  return kDescriptions[static_cast<size_t>(fault)];
}

}  // namespace

uint16_t status(Fault fault) { return describe(fault).status; }
std::string_view label(Fault fault) { return describe(fault).label; }
std::string_view sentence(Fault fault) { return describe(fault).sentence; }

}  // namespace leat::http1
