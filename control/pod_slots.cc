#include "control/pod_slots.h"

#include <charconv>

#include <fmt/format.h>

namespace leat::control {
namespace {
constexpr std::string_view kHeader = "leat-pods 1";
}

std::optional<uint32_t> PodSlots::hold(const std::string& uid) {
  if (const auto known = index_by_uid_.find(uid); known != index_by_uid_.end()) return known->second;
  for (uint32_t tried = 0; tried < kSlots; ++tried) {
    const uint32_t index = next_;
    next_ = (next_ + 1) % kSlots;
    if (taken_[index]) continue;
    taken_[index] = true;
    index_by_uid_.emplace(uid, index);
    ++version_;
    return index;
  }
  return std::nullopt;
}

void PodSlots::keep_only(const std::set<std::string>& uids) {
  for (auto pod = index_by_uid_.begin(); pod != index_by_uid_.end();) {
    if (uids.contains(pod->first)) {
      ++pod;
      continue;
    }
    taken_[pod->second] = false;
    pod = index_by_uid_.erase(pod);
    ++version_;
  }
}

// One line a pod: "17 UID"; a uid has no line break.
std::string PodSlots::save() const {
  std::string text = fmt::format("{}\nnext {}\n", kHeader, next_);
  for (const auto& [uid, index] : index_by_uid_) fmt::format_to(std::back_inserter(text), "{} {}\n", index, uid);
  return text;
}

Result<PodSlots> PodSlots::load(std::string_view text) {
  PodSlots slots;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (number == 1) {
      if (line != kHeader) return fail(ErrorCode::kInvalid, "the pod store does not begin with '{}'", kHeader);
      continue;
    }
    const size_t space = std::min(line.find(' '), line.size());
    const std::string_view number_text =
        number == 2 ? line.substr(std::min(space + 1, line.size())) : line.substr(0, space);
    uint32_t index = kSlots;
    std::from_chars(number_text.data(), number_text.data() + number_text.size(), index);
    const bool valid = index < kSlots && space + 1 < line.size() && (number == 2 || !slots.taken_[index]);
    if (!valid) return fail(ErrorCode::kInvalid, "line {} of the pod store can't be read: '{}'", number, line);
    if (number == 2) {
      slots.next_ = index;
    } else {
      slots.taken_[index] = true;
      slots.index_by_uid_.emplace(line.substr(space + 1), index);
    }
  }
  return slots;
}

}  // namespace leat::control
