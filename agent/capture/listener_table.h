// The listeners of all pods: which socket is rightfully in which slot. The epochs and cookies are in a pinned map, so
// that a restarted agent knows a listener that a proxy gives back from one that a proxy made up.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/capture/bpf_map.h"
#include "agent/capture/capture.h"
#include "bpf/types.h"

namespace leat::capture {

class ListenerTable {
 public:
  static Result<ListenerTable> open(const std::string& maps_folder);

  // Makes and arms what is wanted of one pod and is not there. The calling thread is in the pod's namespace.
  Result<void> make_all(const std::string& uid, uint32_t pod_index, bool v4, bool v6);
  // A pod's listeners as an earlier agent left them: known, but nobody has given us the sockets yet.
  void expect_all(const std::string& uid, uint32_t pod_index);
  // Takes all of a pod's listeners out of their slots and closes our share of them.
  // `make_way`: new ones follow at once in the same namespace, whoever holds these.
  void drop_all(uint32_t pod_index, bool make_way);

  Result<void> adopt(const v1::ListenerId& id, UniqueFd socket);
  // Makes one anew with the next epoch, in its pod's namespace (the caller is there).
  Result<Listener> rebuild(const v1::ListenerId& id);

  [[nodiscard]] std::vector<Listener> all() const;
  // The present one in this place, whatever its epoch.
  [[nodiscard]] std::optional<Listener> find(const v1::ListenerId& id) const;
  [[nodiscard]] int marks_fd() const { return marks_.fd(); }

  void close_slots();
  void open_slots();

 private:
  struct Place {
    v1::ListenerId id;
    uint32_t pod_index = 0;
    UniqueFd socket;
  };
  ListenerTable(BpfMap<uint32_t, leat_listener> records, BpfMap<uint32_t, uint64_t> slots, BpfMap<int, leat_mark> marks)
      : records_(std::move(records)), slots_(std::move(slots)), marks_(std::move(marks)) {}

  Result<void> make(uint32_t slot, Place& place);
  Result<void> fill(uint32_t slot, const Place& place);
  Result<uint32_t> slot_of(const v1::ListenerId& id) const;

  BpfMap<uint32_t, leat_listener> records_;
  BpfMap<uint32_t, uint64_t> slots_;  // written: a descriptor; read: the socket's cookie
  BpfMap<int, leat_mark> marks_;
  std::map<uint32_t, Place> places_;  // by slot
  bool slots_open_ = true;
};

}  // namespace leat::capture
