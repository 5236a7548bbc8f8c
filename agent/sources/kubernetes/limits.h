// How much an agent writes to the API server, how often, and how long it waits for others to hear of it. None is a
// setting.
#pragma once

#include <chrono>
#include <cstddef>

namespace leat::sources::limits {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// ---- pods that leave the mesh
inline constexpr milliseconds kLeave{2000};          // from when the others could know: a busy node acts late on it
inline constexpr milliseconds kLongestLeave{10000};  // where the server does not take what the nodes are to know
inline constexpr milliseconds kLookForLeave{100};

// ---- leading (one agent of the cluster writes about objects)
inline constexpr seconds kFollowerPause{5};  // between two looks at the Lease, in a small cluster
inline constexpr double kLooksASecond = 20;  // of all followers together: in a big one each looks more seldom

// ---- status of routes
inline constexpr milliseconds kStatusPause{500};  // from a change to the look at all routes: changes come in packs
inline constexpr double kStatusASecond = 10;      // writes; more wait
inline constexpr double kStatusBurst = 20;
inline constexpr seconds kStatusSeenAgain{10};  // a write whose event has not come back by then is looked at anew

// ---- Events
inline constexpr double kEventsASecond = 1;  // writes of one agent; more wait
inline constexpr double kEventBurst = 60;    // a node's pods at an enrolment
inline constexpr size_t kMostEvents =
    1000;  // findings and pods that are remembered; the oldest word of a pod goes first
inline constexpr minutes kEventRefresh{30};  // what stands is said again: the API server forgets an Event after an hour
inline constexpr minutes kEventQuiet{5};     // what goes and comes back is not said again sooner
inline constexpr size_t kNoteBytes = 1024;   // the API server takes no longer one
inline constexpr seconds kWriteDeadline{10};

}  // namespace leat::sources::limits
