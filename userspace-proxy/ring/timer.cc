#include "userspace-proxy/ring/timer.h"

#include <algorithm>
#include <bit>

namespace leat::ring {

namespace {
using Tick = std::chrono::milliseconds;
}

void Timer::arm(Clock::time_point deadline) {
  cancel();
  const auto ticks = std::chrono::ceil<Tick>(deadline - wheel_.start_).count();
  tick_ = std::clamp<uint64_t>(ticks < 0 ? 0 : static_cast<uint64_t>(ticks), wheel_.tick_ + 1, TimerWheel::kLastTick);
  ++wheel_.armed_;
  wheel_.insert(*this);
}

void Timer::cancel() {
  if (!armed()) return;
  --wheel_.armed_;
  wheel_.remove(*this);
}

void TimerWheel::insert(Timer& timer) {
  const uint64_t differs = timer.tick_ ^ tick_;
  const unsigned level = (63u - static_cast<unsigned>(std::countl_zero(differs | (kSlots - 1)))) / kBits;
  const unsigned slot = (timer.tick_ >> (kBits * level)) & (kSlots - 1);
  Timer*& head = levels_[level].slots[slot];
  timer.level_ = static_cast<uint8_t>(level);
  timer.slot_ = static_cast<uint8_t>(slot);
  timer.next_ = head;
  timer.back_ = &head;
  if (head) head->back_ = &timer.next_;
  head = &timer;
  levels_[level].occupied |= uint64_t{1} << slot;
}

void TimerWheel::remove(Timer& timer) {
  *timer.back_ = timer.next_;
  if (timer.next_) timer.next_->back_ = timer.back_;
  timer.next_ = nullptr;
  timer.back_ = nullptr;
  Level& level = levels_[timer.level_];
  if (!level.slots[timer.slot_]) level.occupied &= ~(uint64_t{1} << timer.slot_);
}

bool TimerWheel::first_slot(Position& found) const {
  for (unsigned level = 0; level < kLevels; ++level) {
    if (levels_[level].occupied == 0) continue;
    const auto slot = static_cast<unsigned>(std::countr_zero(levels_[level].occupied));
    const unsigned shift = kBits * level;
    const uint64_t before = tick_ >> (shift + kBits) << (shift + kBits);
    found = {level, slot, before | (uint64_t{slot} << shift)};
    return true;
  }
  return false;
}

Clock::time_point TimerWheel::next() const {
  Position first{};
  return first_slot(first) ? start_ + Tick(first.tick) : Clock::time_point::max();
}

void TimerWheel::advance(Clock::time_point now) {
  const auto target = static_cast<uint64_t>(std::max<int64_t>(0, std::chrono::floor<Tick>(now - start_).count()));
  Position first{};
  while (first_slot(first) && first.tick <= target) {
    tick_ = first.tick;
    // The list is taken out before anything fires: a callback may arm, cancel or destroy any timer, also those still in
    // `due`.
    Level& level = levels_[first.level];
    Timer* due = std::exchange(level.slots[first.slot], nullptr);
    due->back_ = &due;
    level.occupied &= ~(uint64_t{1} << first.slot);
    while (due) {
      Timer& timer = *due;
      remove(timer);
      if (timer.tick_ > tick_) {
        insert(timer);
      } else {
        --armed_;
        timer.fired_();
      }
    }
  }
  tick_ = std::max(tick_, target);
}

}  // namespace leat::ring
