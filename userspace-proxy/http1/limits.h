// Every limit of the HTTP/1.1 reader, with unit and reason. What is larger is refused, never cut.
#pragma once

#include <cstddef>
#include <cstdint>

namespace leat::http1::limits {

// The start line and all fields, line ends included. Envoy's limit, so that what passed a mesh before passes this one;
// offsets within a head fit 16 bits. Beyond: 431.
inline constexpr size_t kHeadBytes = 60 * 1024;
// Fields of a head, and of a trailer section. Envoy's limit; a field's index fits 8 bits. Beyond: 431.
inline constexpr size_t kFields = 100;
// A name's length fits 8 bits; the longest registered one has 41. Beyond: 431.
inline constexpr size_t kNameBytes = 255;
// RFC 9112 recommends at least 8000; the head's limit leaves room for fields beside it. Beyond: 414.
inline constexpr size_t kTargetBytes = 32 * 1024;
// The longest registered method has 17. Beyond: 501.
inline constexpr size_t kMethodBytes = 64;

// Options of the Connection fields together: each is looked for among all fields. Beyond: 400.
inline constexpr size_t kConnectionOptions = 100;

// A body, or one of its chunks: 2^60, so that sums of a few can't overflow. Beyond: 413.
inline constexpr uint64_t kBodyBytes = uint64_t{1} << 60;
// A chunk's size has that many hexadecimal digits at most, leading zeros included. Beyond: 413.
inline constexpr size_t kChunkSizeDigits = 16;
// Chunk extensions are dropped, so that they are only a way to make us work: of one chunk, and of a whole body.
inline constexpr size_t kChunkExtensionBytes = 256;
inline constexpr size_t kBodyExtensionBytes = 16 * 1024;
// The trailer section. Beyond: 431.
inline constexpr size_t kTrailerBytes = 8 * 1024;

// A chunk up to this size is copied beside its framing: one slice to send rather than three.
inline constexpr size_t kCopiedChunkBytes = 4 * 1024;

// Between messages a reader keeps memory for a head up to this size; more goes back.
inline constexpr size_t kKeptBytes = 2 * 1024;

}  // namespace leat::http1::limits
