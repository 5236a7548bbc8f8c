// Every limit and default time of HBONE, with unit and reason.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace leat::hbone::limits {

using namespace std::chrono_literals;

// Streams that one tunnel carries at once, each way. Peers pool likewise (ztunnel: 100 of 200 offered); more would only
// deepen the head-of-line blocking of one TCP connection.
inline constexpr uint32_t kMaxStreams = 100;

// What a stream's sender may have in flight before the receiver has drained it. It starts small, doubles whenever the
// reader keeps up, and the doublings of all streams of a tunnel come out of one budget. So unread bytes of a tunnel are
// bounded by kMaxStreams * kInitialWindowBytes + kWindowBudgetBytes = 10.25 MiB, whatever the readers do, and of one
// stream by kMaxWindowBytes.
inline constexpr uint32_t kInitialWindowBytes = 64 * 1024;
inline constexpr uint32_t kMaxWindowBytes = 512 * 1024;
inline constexpr uint32_t kWindowBudgetBytes = 4 * 1024 * 1024;
// A window that was drained in this time may be what limits its sender: within a cluster a round trip is far shorter.
inline constexpr uint32_t kFastDrainMs = 50;
// The connection's window is given back as bytes arrive, not as they are drained: it bounds nothing that the streams'
// windows do not, and so a slow reader can't hold up the other streams. Large enough never to limit a path (ztunnel's
// size).
inline constexpr uint32_t kConnectionWindowBytes = 16 * 1024 * 1024;

// Bytes that a stream's sender may queue here before it is told to wait: about two loop turns' worth of a fast socket.
inline constexpr size_t kSendQueueBytes = 256 * 1024;
// A slice at least this long is passed on as it is; a shorter one is copied beside its neighbours, so that small
// messages do not each pin a 16 KiB block while they wait.
inline constexpr size_t kShareBytes = 4096;
// Ciphertext made for one send. Longer output would grow latency, not throughput.
inline constexpr size_t kOutputBytes = 128 * 1024;

// A CONNECT has five short headers.
inline constexpr size_t kMaxHeaderListBytes = 16 * 1024;  // beyond: 431
inline constexpr size_t kHeaderBombBytes = 64 * 1024;     // beyond: the session ends
inline constexpr size_t kMaxHeaderValueBytes = 4096;      // baggage, forwarded, traceparent
inline constexpr size_t kMaxReasonBytes = 64;             // leat-reason is a word, not a story

// A quiet peer is asked whether it lives, and given up if it does not answer (as ztunnel and Envoy do).
inline constexpr auto kPingInterval = 10s;
inline constexpr auto kPingTimeout = 20s;

// Floods: a bucket of `burst`, refilled `per_second`; a peer that empties one gets GOAWAY ENHANCE_YOUR_CALM.
struct Rate {
  uint32_t burst;
  uint32_t per_second;
};
inline constexpr Rate kUnansweredResets{200, 50};  // streams reset before they were answered (CVE-2023-44487)
inline constexpr Rate kSettings{20, 1};
inline constexpr Rate kControl{200, 20};      // PING, PRIORITY
inline constexpr Rate kEmptyData{200, 20};    // DATA without bytes or end
inline constexpr Rate kBadRequests{200, 50};  // requests refused for their form

}  // namespace leat::hbone::limits
