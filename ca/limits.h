// Every limit, default time and size of leat-ca: unit, reason, and the setting that changes it (none unless named).
#pragma once

#include <chrono>
#include <cstddef>

namespace leat::ca::limits {

using std::chrono::milliseconds;
using std::chrono::seconds;

// ---- one request
inline constexpr size_t kMaxMessageBytes = 64 * 1024;  // a request with a P-256 key is under 1 KB
inline constexpr size_t kMaxTokenBytes = 16 * 1024;    // a bound token is 1 to 2 KB
inline constexpr size_t kMaxPending = 2'000;           // beyond: the caller is asked to come again
inline constexpr seconds kApiDeadline{5};              // of each question to the API server; the caller waits for 10 s

// ---- what is remembered
inline constexpr seconds kTokenMemory{30};    // a token that was found good; a pod's end is noticed by the node check
inline constexpr seconds kPodsMemory{5};      // a node's pods; what is not among them is asked for anew
inline constexpr size_t kMaxTokens = 20'000;  // beyond: all are forgotten, and asked for again
inline constexpr size_t kMaxNodes = 20'000;   // the same, and their rates begin anew

// ---- rates
inline constexpr double kSignsASecond = 20;     // of one node: --rate
inline constexpr double kSignBurst = 500;       // all service accounts of a full node at once: --burst
inline constexpr double kReviewsASecond = 200;  // tokens that strangers made up must not bury the API server
inline constexpr double kReviewBurst = 2'000;   // all nodes of a big cluster at once

// ---- leading and roots
inline constexpr seconds kLease{15};          // without a word of the leader, the other replica takes over
inline constexpr seconds kSync{5};            // between two looks at Lease and Secret: --sync
inline constexpr seconds kPublishAgain{300};  // what somebody changed by hand is put right
inline constexpr seconds kServerLifetime = std::chrono::hours(24);  // of the server's own certificate, renewed at half

}  // namespace leat::ca::limits
