// Deadlines in user space. A hierarchical wheel: arm and cancel cost O(1) whatever the number of timers, and the kernel
// is told of one deadline a loop turn. Resolution 1 ms; a timer never fires early.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <utility>

namespace leat::ring {

using Clock = std::chrono::steady_clock;

class TimerWheel;

// Calls `fired` once, on the loop's thread, after its deadline. Lives where its owner wants it; destroying it cancels
// it.
class Timer {
 public:
  Timer(TimerWheel& wheel, std::function<void()> fired) : wheel_(wheel), fired_(std::move(fired)) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }

  void arm(Clock::time_point deadline);  // replaces an earlier deadline
  void cancel();                         // nothing if not armed
  [[nodiscard]] bool armed() const { return back_ != nullptr; }

 private:
  friend class TimerWheel;
  TimerWheel& wheel_;
  std::function<void()> fired_;
  Timer* next_ = nullptr;   // in its slot: a singly linked list whose
  Timer** back_ = nullptr;  // members know what points at them
  uint64_t tick_ = 0;
  uint8_t level_ = 0;
  uint8_t slot_ = 0;
};

class TimerWheel {
 public:
  explicit TimerWheel(Clock::time_point start) : start_(start) {}
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Fires what is due at `now`, in the order of deadlines (to the tick).
  void advance(Clock::time_point now);
  // A time not later than the next deadline, at which advance() should be called; max() if no timer is armed.
  [[nodiscard]] Clock::time_point next() const;
  [[nodiscard]] size_t armed() const { return armed_; }

 private:
  friend class Timer;
  // A timer's level is the highest group of six bits in which its tick differs from the wheel's, its slot is that
  // group. So whatever is in the lowest level that is not empty comes first, and a slot is sorted into lower levels
  // when the wheel reaches it.
  static constexpr unsigned kBits = 6;
  static constexpr unsigned kSlots = 1u << kBits;
  static constexpr unsigned kLevels = 7;  // 2^42 ms, 139 years: later deadlines are cut to that
  static constexpr uint64_t kLastTick = (uint64_t{1} << (kBits * kLevels)) - 1;

  struct Position {
    unsigned level;
    unsigned slot;
    uint64_t tick;  // when the slot begins
  };
  [[nodiscard]] bool first_slot(Position& found) const;
  void insert(Timer& timer);
  void remove(Timer& timer);

  struct Level {
    uint64_t occupied = 0;  // a bit a slot
    std::array<Timer*, kSlots> slots{};
  };
  Clock::time_point start_;
  uint64_t tick_ = 0;  // everything up to this tick has fired
  size_t armed_ = 0;
  std::array<Level, kLevels> levels_;
};

}  // namespace leat::ring
