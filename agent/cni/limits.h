// Every limit and default time of the agent's side of leat-cni: unit, reason, and the setting that changes it (none
// unless named).
#pragma once

#include <chrono>
#include <cstddef>

namespace leat::agent::limits {

using std::chrono::milliseconds;

// ---- questions
inline constexpr size_t kMaxCniQuestions = 256;  // at a time; a kubelet starts a few pods a second, a rebooted node 250
inline constexpr milliseconds kCniQuestionDeadline{2000};  // a plugin asks as soon as it is connected
// An answer leaves so much before the plugin gives up, which waits as its entry's `waitMs` says (cni.wait_ms).
inline constexpr milliseconds kCniAnswerMargin{250};
// A container whose removal nobody told of is noticed by its namespace: so long after it at most.
inline constexpr milliseconds kLookAtAttachments{10'000};

// ---- the installer
inline constexpr milliseconds kCniSettle{200};   // writers of a configuration often write twice
inline constexpr milliseconds kCniLook{10'000};  // unasked: a binary that somebody removed, a folder that came
// So often within that time somebody else has undone what the installer did: it gives way until the time is over.
inline constexpr size_t kCniFightsMax = 5;
inline constexpr milliseconds kCniFightTime{60'000};

}  // namespace leat::agent::limits
