#include "agent/capture/listener_table.h"

#include <sys/socket.h>

#include <algorithm>

#include "agent/capture/best_effort.h"
#include "agent/capture/sockets.h"

namespace leat::capture {

namespace {

constexpr v1::ListenerRole kRoles[] = {v1::LISTENER_OUTBOUND, v1::LISTENER_HBONE, v1::LISTENER_PLAINTEXT};

}  // namespace

Result<ListenerTable> ListenerTable::open(const std::string& maps_folder) {
  LEAT_TRY(auto records, (BpfMap<uint32_t, leat_listener>::open(maps_folder, "listeners")));
  LEAT_TRY(auto slots, (BpfMap<uint32_t, uint64_t>::open(maps_folder, "slots")));
  LEAT_TRY(auto marks, (BpfMap<int, leat_mark>::open(maps_folder, "marks")));
  return ListenerTable(std::move(records), std::move(slots), std::move(marks));
}

Result<void> ListenerTable::make_all(const std::string& uid, uint32_t pod_index, bool v4, bool v6) {
  for (const v1::ListenerRole role : kRoles) {
    for (const bool ipv6 : {false, true}) {
      if (!(ipv6 ? v6 : v4)) continue;
      const uint32_t slot = LEAT_SLOT(pod_index, static_cast<uint32_t>(role), ipv6);
      Place place{.id = {}, .pod_index = pod_index, .socket = {}};
      place.id.set_workload_uid(uid);
      place.id.set_role(role);
      place.id.set_ipv6(ipv6);
      LEAT_TRY_VOID(make(slot, place));
      places_[slot] = std::move(place);
    }
  }
  return {};
}

void ListenerTable::expect_all(const std::string& uid, uint32_t pod_index) {
  for (const v1::ListenerRole role : kRoles) {
    for (const bool ipv6 : {false, true}) {
      const uint32_t slot = LEAT_SLOT(pod_index, static_cast<uint32_t>(role), ipv6);
      const auto record = records_.find(slot);
      if (!record || record->socket == 0) continue;
      Place place{.id = {}, .pod_index = pod_index, .socket = {}};
      place.id.set_workload_uid(uid);
      place.id.set_role(role);
      place.id.set_ipv6(ipv6);
      place.id.set_epoch(record->epoch);
      places_[slot] = std::move(place);
    }
  }
}

void ListenerTable::drop_all(uint32_t pod_index, bool make_way) {
  for (uint32_t slot = LEAT_SLOT(pod_index, 0, 0); slot < LEAT_SLOT(pod_index + 1, 0, 0); ++slot) {
    const auto place = places_.find(slot);
    if (make_way && place != places_.end() && place->second.socket)
      shutdown(place->second.socket.get(), SHUT_RDWR);  // a proxy's copy would hold the port
    best_effort(slots_.erase(slot));                    // the socket's end empties it as well
    if (const auto record = records_.find(slot)) best_effort(records_.set(slot, {.epoch = record->epoch, .socket = 0}));
    places_.erase(slot);
  }
}

// Epochs of a slot never go back, even from one pod to the next.
Result<void> ListenerTable::make(uint32_t slot, Place& place) {
  LEAT_TRY(place.socket, make_listener(place.id.role(), place.id.ipv6(), place.pod_index, marks_.fd()));
  LEAT_TRY(const uint64_t cookie, socket_cookie(place.socket.get()));
  const auto before = records_.find(slot);
  place.id.set_epoch(before ? before->epoch + 1 : 1);
  LEAT_TRY_VOID(records_.set(slot, {.epoch = place.id.epoch(), .socket = cookie}));
  return fill(slot, place);
}

Result<void> ListenerTable::fill(uint32_t slot, const Place& place) {
  if (!slots_open_ || !place.socket) return {};
  return slots_.set(slot, static_cast<uint64_t>(place.socket.get()));
}

Result<uint32_t> ListenerTable::slot_of(const v1::ListenerId& id) const {
  for (const auto& [slot, place] : places_)
    if (place.id.workload_uid() == id.workload_uid() && place.id.role() == id.role() && place.id.ipv6() == id.ipv6())
      return slot;
  return fail(ErrorCode::kNotFound, "pod {} has no {} listener of role {}", id.workload_uid(),
              id.ipv6() ? "IPv6" : "IPv4", static_cast<int>(id.role()));
}

Result<void> ListenerTable::adopt(const v1::ListenerId& id, UniqueFd socket) {
  LEAT_TRY(const uint32_t slot, slot_of(id));
  Place& place = places_.at(slot);
  LEAT_TRY(const uint64_t cookie, socket_cookie(socket.get()));
  const auto record = records_.find(slot);
  if (!record || record->epoch != id.epoch() || record->socket != cookie) {
    return fail(ErrorCode::kDenied, "what was given as listener of pod {}, role {}, epoch {} is not that socket",
                id.workload_uid(), static_cast<int>(id.role()), id.epoch());
  }
  if (!place.socket) place.socket = std::move(socket);
  return fill(slot, place);
}

Result<Listener> ListenerTable::rebuild(const v1::ListenerId& id) {
  LEAT_TRY(const uint32_t slot, slot_of(id));
  Place& place = places_.at(slot);
  place.socket.reset();  // the port must be free; a slot whose socket somebody else still has stays as it is
  LEAT_TRY_VOID(make(slot, place));
  return Listener{.id = place.id, .fd = place.socket.get()};
}

std::vector<Listener> ListenerTable::all() const {
  std::vector<Listener> listeners;
  listeners.reserve(places_.size());
  for (const auto& [slot, place] : places_) listeners.push_back({.id = place.id, .fd = place.socket.get()});
  return listeners;
}

std::optional<Listener> ListenerTable::find(const v1::ListenerId& id) const {
  const auto slot = slot_of(id);
  if (!slot) return std::nullopt;
  const Place& place = places_.at(*slot);
  return Listener{.id = place.id, .fd = place.socket.get()};
}

// One pod may have killed its listener: that is its own loss, and none of the slots behind it.
void ListenerTable::close_slots() {
  slots_open_ = false;
  for (const auto& [slot, place] : places_) best_effort(slots_.erase(slot));
}

void ListenerTable::open_slots() {
  slots_open_ = true;
  for (const auto& [slot, place] : places_) best_effort(fill(slot, place));
}

}  // namespace leat::capture
