// Every limit, default time and size of leat-agent: unit, reason, and the setting that changes it (none unless named).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace leat::agent::limits {

using std::chrono::milliseconds;

// ---- the lease: at most one armed proxy a node
// A proxy that is asked to disarm and does not answer hangs: it is ended then, as its own supervisor would end it (3 s
// without a turn).
inline constexpr milliseconds kRevokeDeadline{3000};
// A proxy that takes over is given its certificates and model first, so that the hand-over costs no connection; one
// that does not say that it is ready is taken as ready after this time.
inline constexpr milliseconds kWarmUpDeadline{1000};
// After a restart of the agent: how long it waits for the proxy that held the lease and its listeners, if that process
// lives.
inline constexpr milliseconds kAdoptDeadline{2000};
// A proxy that connects anew asks again for the source ids that it uses, at once; those that it has not asked for by
// then are free. So are all of one that has not come back so long after a restart of the agent.
inline constexpr milliseconds kClaimDeadline{30'000};

// ---- what a proxy may ask for (it parses what strangers send, so it is not trusted)
inline constexpr size_t kMaxProxyMessageBytes = 64u << 20;  // a FlowReply part is the largest honest one
inline constexpr size_t kMaxProxyQueueBytes = 256u << 20;   // a snapshot of a large mesh several times over
inline constexpr size_t kEarlyRequestsMax = 1024;           // kept until the agent knows of pods; more are refused
inline constexpr size_t kMaxProxyConnections = 8;           // one armed, the others drain
inline constexpr uint32_t kMaxSocketsARequest = 32;         // the batch that is cheapest a socket (measured)
inline constexpr size_t kMaxHeldListeners = 1024 * 8;       // pods of a node * roles * families, rounded up
inline constexpr uint64_t kMaxLeaseEpoch = 1ull << 62;  // no node lives so long; a higher one would make the count wrap
inline constexpr size_t kMaxTextBytes = 256;            // instance, version, back end, uid
inline constexpr size_t kMaxCsrBytes = 8 * 1024;        // a P-256 request is under 300
inline constexpr double kMessagesASecond = 20'000;      // above it the connection is read more slowly, never dropped
inline constexpr double kMessageBurst = 20'000;
inline constexpr double kSignsASecond = 50;            // a P-256 signature costs 0.1 ms: 0.5 % of a core
inline constexpr double kSignBurst = 2'000;            // all service accounts of a full node at once
inline constexpr double kSocketsASecondAPod = 20'000;  // short connections of one pod; the others are not starved
inline constexpr double kSocketBurstAPod = 4'000;
inline constexpr double kCountersASecond = 5;  // a scrape asks once; a proxy asks five times a second at most
inline constexpr double kCountersBurst = 20;
inline constexpr size_t kMaxSourceIdsAPod = 16'384;  // clients outside the model at a time

// ---- the API
inline constexpr size_t kMaxApiRequestBytes = 64 * 1024;
inline constexpr size_t kMaxApiConnections = 64;
inline constexpr milliseconds kQueryDeadline{
    1000};                                     // a proxy that does not answer makes the answer partial, never late
inline constexpr size_t kMaxReplyParts = 256;  // of all proxies to one question, each a message
inline constexpr size_t kMaxClosedDirectFlows = 16'384;
inline constexpr size_t kMaxUntouchedFlows = 50'000;  // an answer's bound over all pods

// ---- reconcile
// New destinations wait for the proxy to know them; a proxy that is slower than this gets them anyway (it resets what
// it does not know).
inline constexpr milliseconds kModelAckDeadline{1000};
inline constexpr milliseconds kRetryFailedPods{2000};     // a pod's namespace that was not there yet
inline constexpr milliseconds kRetryLostListeners{5000};  // somebody else holds the port; each try is logged
inline constexpr size_t kEditLatencies = 1024;            // remembered for the median that `leat check` shows

// ---- names of ServiceEntries (resolver.h)

// To a server, and how often all are asked before a question has failed.
inline constexpr std::chrono::milliseconds kDnsTimeout{2000};
inline constexpr int kDnsTries = 2;
// An answer holds as long as it says, within these: a time of 0 would ask without end, one of days would never be
// corrected.
inline constexpr std::chrono::milliseconds kDnsShortest{1000};
inline constexpr std::chrono::seconds kDnsLongest{300};
// That there is no such host may change with the next edit of a zone.
inline constexpr std::chrono::seconds kDnsNegative{5};
// After a question without an answer, doubled up to 32 times it.
inline constexpr std::chrono::milliseconds kDnsRetry{1000};
// Of a host: those beyond are left out.
inline constexpr size_t kDnsAddresses = 64;

// ---- files of certificates (tls_files.h)

// A bundle of all public CAs has 220 KB.
inline constexpr size_t kTlsFileBytes = 512 * 1024;
// How often they are looked at: a stat() each.
inline constexpr std::chrono::milliseconds kTlsFileLook{5000};

}  // namespace leat::agent::limits
