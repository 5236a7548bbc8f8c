// Every limit and default time of HTTP/2, with unit and reason: what tunnels between nodes (hbone/limits.h adds theirs)
// and connections of applications have in common, then what only those of applications have.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace leat::http2::limits {

using namespace std::chrono_literals;

// Streams that one connection carries at once, each way. Peers pool likewise (ztunnel: 100 of 200 offered; gRPC and
// Envoy: 100); more would only deepen the head-of-line blocking of one TCP connection.
inline constexpr uint32_t kMaxStreams = 100;

// What a stream's sender may have in flight before the receiver has drained it. It starts small, doubles whenever the
// reader keeps up, and the doublings of all streams of a connection come out of one budget. So unread bytes of a
// connection are bounded by kMaxStreams * kInitialWindowBytes + kWindowBudgetBytes = 10.25 MiB, whatever the readers
// do, and of one stream by kMaxWindowBytes.
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
// Bytes made for one send. Longer output would grow latency, not throughput.
inline constexpr size_t kOutputBytes = 128 * 1024;

// A quiet peer of a tunnel is asked whether it lives, and given up if it does not answer (as ztunnel and Envoy do).
// Applications are not asked: gRPC's servers end connections that send PING without need.
inline constexpr auto kPingInterval = 10s;
inline constexpr auto kPingTimeout = 20s;

// Floods: a bucket of `burst`, refilled `per_second`; a peer that empties one gets GOAWAY ENHANCE_YOUR_CALM.
struct Rate {
  uint32_t burst;
  uint32_t per_second;
};
inline constexpr Rate kUnansweredResets{200, 50};  // streams reset before they were answered (CVE-2023-44487)
inline constexpr Rate kSettings{20, 1};
inline constexpr Rate kControl{200, 20};      // PING, PRIORITY; one more for each frame with content, either way
inline constexpr Rate kEmptyData{200, 20};    // DATA without bytes or end
inline constexpr Rate kBadRequests{200, 50};  // requests refused for their form

// ---- connections of applications

// A head as RFC 9113, section 10.5.1 counts it: Envoy's limit, and that of HTTP/1.1 (http1/limits.h). Beyond: 431.
inline constexpr size_t kMaxHeaderListBytes = 60 * 1024;
inline constexpr size_t kHeaderBombBytes = 4 * kMaxHeaderListBytes;  // beyond: the connection ends
// A gRPC client resets each call whose deadline passes before the answer: all streams of a connection at once, several
// times a second while a server hangs.
inline constexpr Rate kUnansweredCalls{1000, 200};

}  // namespace leat::http2::limits
