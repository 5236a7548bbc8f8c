// Every limit and default time of leat-proxy outside the protocols (hbone/limits.h has those): the unit in the type or
// name, the reason, and the setting that changes it ("fixed": none).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace leat::proxy {

using Clock = std::chrono::steady_clock;

namespace limits {
using namespace std::chrono_literals;

// ---- dialling
// From accept to a connected upstream, all attempts together; an application sees a reset then. Mesh
// spec.connectTimeout.
inline constexpr std::chrono::milliseconds kConnectTimeout = 5s;
// Endpoints tried for one connection: with half of the remaining time each, more would have no time to answer. Fixed.
inline constexpr uint8_t kMaxAttempts = 5;
// How long a backend is left out after a failed dial, times failures in a row: long enough that a burst does not try a
// dead pod again and again, short enough that a restarted one is used at once. Fixed.
inline constexpr auto kEjection = 1s;
inline constexpr uint32_t kEjectionMaxFactor = 10;
// So many requests in a row without an answer, or answered 502, 503 or 504, leave a backend out for that time: one such
// answer may be about the request, and the next requests need not find out each for itself. Outlier detection
// takes the place of this.
inline constexpr uint32_t kBadAnswers = 3;
// Log lines about endpoints that outlier detection leaves out, a worker. Fixed.
inline constexpr uint32_t kEjectionLinesASecond = 5;

// ---- sockets from the agent
// Spare sockets a pod and family: 16 bridge a restart of the agent for a while; an idle one keeps 4 KB of kernel
// memory. Fixed.
inline constexpr uint32_t kSpareSocketsMin = 2;
inline constexpr uint32_t kSpareSocketsMax = 16;
// A tunnel whose peer was heard of within this time gets a client's first bytes with the CONNECT, a round trip earlier:
// should the peer have died since, those flows can't be tried elsewhere.
inline constexpr std::chrono::milliseconds kEarlyBytesTrust = 1s;
// Sockets asked for at once: the batch that is cheapest a socket (10 µs against 20 singly, measured), and the agent's
// bound. Fixed.
inline constexpr uint32_t kSocketBatch = 32;

// ---- tunnels
// From accept, or connect, to a verified peer. A peer that is slower holds a half-open handshake for nothing. Fixed.
inline constexpr auto kHandshakeTimeout = 10s;
// Half-open handshakes a pod; beyond it the oldest makes room. Fixed.
inline constexpr uint64_t kHandshakesAPod = 256;
// Steps of handshakes (about 350 µs each) in one turn of the loop: bounds what a burst adds to the latency of open
// streams. Fixed.
inline constexpr uint32_t kHandshakeStepsATurn = 2;
// Tunnels from one pod to one other, at hbone's 100 streams each. Fixed.
inline constexpr size_t kTunnelsADestination = 256;
// Tunnels that are opened only because the others have more to send than one send takes. Fixed.
inline constexpr size_t kTunnelsForBulk = 4;
// Times that a stream is asked for, where the tunnel broke before the peer answered. Fixed.
inline constexpr uint32_t kStreamAttempts = 3;
// A tunnel without streams is closed after this time: a handshake costs 1.5 ms of CPU on both sides together, an idle
// tunnel 60 KB. Fixed.
inline constexpr auto kTunnelIdle = 60s;
// For the last bytes (an alert, a GOAWAY) of a tunnel that ends. Fixed.
inline constexpr auto kTunnelCloseGrace = 2s;
// With no buffer left, a tunnel that holds received bytes tries again after this time. Fixed.
inline constexpr auto kDryPoolRetry = 5ms;

// The kernel's shortest delay of an acknowledgement is 40 ms; a little less, for our clock is read once a turn. An
// application that pauses so long between two pieces may wait for one. Fixed.
inline constexpr auto kLateAcknowledgement = 35ms;

// ---- HTTP
// What a client that speaks no HTTP may take to say so, where HTTP is routed but not declared: a server that speaks
// first is heard after this time. Fixed.
inline constexpr auto kDetectTimeout = 200ms;
// A client's connection may be silent between requests for this time: Istio's default. Fixed.
inline constexpr auto kClientIdle = 1h;
// From a request's first byte to its whole head. Fixed.
inline constexpr auto kHeadTime = 15s;
// An upstream connection without a request is kept for this time: less than the common servers do (Node.js, Apache,
// uvicorn: 5 s), so that we close first and no request meets their end; and soon enough for a server that serves one
// connection at a time. Fixed.
inline constexpr auto kUpstreamIdle = 3s;
// For how long an endpoint that was offered HTTP/2 and answered in HTTP/1.1 is not offered it again: each offer is a
// connection, and a line in the server's log. Fixed.
inline constexpr auto kHttp1Remembered = 10min;
// A request that can't be sent twice goes out on a connection that was used within this time, or on a new one. Fixed.
inline constexpr auto kUpstreamFresh = 1s;
// Idle upstream connections of one pod to one backend, and of a worker: beyond them the oldest is closed. Fixed.
inline constexpr size_t kIdleUpstreamsABackend = 128;
inline constexpr size_t kIdleUpstreams = 1024;
// A pod that has more of a full pool than this makes room for its next one itself. Fixed.
inline constexpr size_t kPodShareOfIdlePercent = 25;
// How long a connection that we end still reads what its client had sent, lest a reset overtakes the answer. Fixed.
inline constexpr auto kLinger = 2s;
// Tries of a request beyond the first, the pause before the first of them and how far doubling takes it: Istio's and
// Envoy's defaults. VirtualService retries.attempts, retries.backoff; the factor is fixed.
inline constexpr uint32_t kRetries = 2;
inline constexpr std::chrono::milliseconds kRetryBackoff = 25ms;
inline constexpr int64_t kRetryBackoffFactor = 10;
// How long a mirrored request may wait for its answer, which nobody reads. Fixed.
inline constexpr auto kMirrorTime = 30s;
// Mirrored requests at once, a worker: a mirror that hangs must not take the buffers of others. Fixed.
inline constexpr uint32_t kMirrorsUnderWay = 256;
// A body up to this size is kept until its response is there, to be sent again or to a mirror. Fixed.
inline constexpr size_t kReplayBytes = 64 * 1024;
// What a worker keeps so in all; a body beyond it is sent once only. Fixed.
inline constexpr size_t kReplayBytesAWorker = 32 * 1024 * 1024;
// The share of the requests of the last while that retries may be, and how many at once are always allowed.
// DestinationRule trafficPolicy.retryBudget.
inline constexpr double kRetryShare = 0.2;
inline constexpr uint32_t kRetriesAlways = 3;
inline constexpr std::chrono::milliseconds kRetryWindow = 10s;
inline constexpr std::chrono::milliseconds kRetryWindowMax = 1h;  // that may be configured
// A gRPC reply whose status may ask for another try is held for this time after its head, and up to this size, while
// its trailers may be under way: a server that has failed writes both at once or nearly so. Fixed.
inline constexpr std::chrono::milliseconds kReplyHold = 10ms;
inline constexpr size_t kHeldReplyBytes = 64 * 1024;
// Interim responses (1xx) to one request; a server that sends more is not answered with. Fixed.
inline constexpr uint8_t kInterimResponses = 16;
// A draining proxy ends a client's connection when it was silent this long; others learn from their next response.
// Fixed.
inline constexpr auto kDrainIdle = 500ms;
// Memory for requests that are under way is kept for this many. Fixed.
inline constexpr size_t kSpareMessages = 64;

// ---- spans and access log
// Spans that wait for the collector, a worker, about 2 KB each; those beyond are dropped and counted. Fixed.
inline constexpr size_t kSpansQueued = 4096;
// Spans of one request to the collector: far below what collectors take (4 MiB). Fixed.
inline constexpr size_t kSpansABatch = 512;
// How long spans are collected before they are sent: a request a pod and second, at most. Fixed.
inline constexpr auto kSpanDelay = 1s;
// A collector that has not answered within this time is asked again, after a pause that doubles each time. Fixed.
inline constexpr auto kExportTimeout = 10s;
inline constexpr int kExportAttempts = 5;
inline constexpr std::chrono::milliseconds kExportPause = 1s;
// Access log lines a worker and second: about 4 MB. Mesh spec.accessLog.linesPerSecond.
inline constexpr uint32_t kLogLinesASecond = 10'000;
// Lines that wait for whoever reads the proxy's standard output; those beyond are dropped and counted. Fixed.
inline constexpr size_t kLogBytesQueued = 8u << 20;
// How long lines are collected before they are written. Fixed.
inline constexpr auto kLogDelay = 100ms;
// Requests kept a worker for `leat tap`, about 600 bytes each, and for how long after the last question. Fixed.
inline constexpr size_t kTappedRequests = 1024;
inline constexpr auto kTapTime = 5s;
// Bytes of a path that are kept and logged of it. Fixed.
inline constexpr size_t kTappedPath = 256;
inline constexpr int kTappedAMessage = 128;

// ---- scrapes
// Connections of scrapers and probes at once: a Prometheus or two, the kubelet, somebody's curl. Others wait in the
// kernel's queue. Fixed.
inline constexpr size_t kScrapers = 8;
// From accept to the whole request, and to the last byte of the answer. Fixed.
inline constexpr std::chrono::milliseconds kScrapeRequestTime = 5s;
inline constexpr std::chrono::milliseconds kScrapeTime = 30s;
// Bytes of text that are made at once: memory of a slow scraper. Fixed.
inline constexpr size_t kScrapePiece = 64 * 1024;
// Between two gatherings: who asks faster shares the next one. Fixed.
inline constexpr std::chrono::milliseconds kScrapeInterval = 200ms;
// For the agent's counters; without them the last ones count. Less than half of the shortest scrape timeout in use.
// Fixed.
inline constexpr std::chrono::milliseconds kAgentCountersTime = 1500ms;

// ---- fairness
// The share of the process's descriptors that one pod's connections may take, two each: a load test of one pod works
// (8,000 connections of 20,000 descriptors), and its neighbours keep a tenth even so. Fixed.
inline constexpr uint64_t kPodShareOfDescriptorsPercent = 90;

// ---- certificates
// A request that the CA has not answered is given up and made again. Fixed.
inline constexpr auto kSignTimeout = 10s;
// First pause after a failure; doubled each time, up to 300 times (150 s), with jitter. Fixed.
inline constexpr auto kSignRetry = 500ms;

// ---- the agent
// Pauses between attempts to reach it: the first is short, for a restarted agent is back within a second. Fixed.
inline constexpr std::chrono::milliseconds kReconnectMin = 20ms;
inline constexpr std::chrono::milliseconds kReconnectMax = 500ms;
inline constexpr int kFlowsAMessage = 512;  // of an answer to a FlowQuery

// ---- life
inline constexpr size_t kMaxWorkers = 64;
// A worker process whose loop stands still this long is killed: its lease would keep every pod of the node waiting.
// Fixed.
inline constexpr std::chrono::milliseconds kHangDeadline = 3s;
inline constexpr std::chrono::milliseconds kHeartbeatCheck = 500ms;
// A worker process that lived longer than this is started again at once; one that did not, at growing intervals. Fixed.
inline constexpr auto kRestartGrace = 5s;
inline constexpr std::chrono::milliseconds kRestartPause = 50ms;
inline constexpr std::chrono::milliseconds kRestartPauseMax = 5s;

// ---- upkeep
// Closed flows remembered a worker for `leat flows`: about 200 bytes each. Fixed.
inline constexpr size_t kClosedFlows = 1024;
// Series of request metrics a worker, about 1.5 KB each: 40 pods that call 5 services each with 10 outcomes. Requests
// beyond it are counted in one series whose labels say overflow. Fixed.
inline constexpr size_t kRequestSeries = 2000;
// Ways to a series that are known by the objects of a request: one for each pair of pods. Fixed.
inline constexpr size_t kRequestShortcuts = 4 * kRequestSeries;
// A series that no request touches is forgotten after this time: long enough for every scrape to have seen its end.
// Fixed.
inline constexpr auto kRequestSeriesIdle = 15min;
// Series that a worker copies in one turn for a reader: about 60 µs. Fixed.
inline constexpr size_t kSeriesATurn = 64;
inline constexpr auto kRequestSeriesCheck = 1min;  // how often those are looked for
inline constexpr auto kBeat = 1s;                  // of a worker's loop, for the supervisor
inline constexpr auto kSuccessorWait = 5s;         // one that is told to end serves so long for want of another
inline constexpr auto kDrainCheck = 50ms;          // how soon a drained worker is noticed
inline constexpr auto kTrimInterval = 5s;          // unused buffers, spare sockets, idle tunnels

}  // namespace limits
}  // namespace leat::proxy
