#include "agent/capture/closed_flows.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "agent/capture/tables.h"
#include "common/unique_fd.h"

namespace leat::capture {

namespace {

using std::chrono::system_clock;

// The kernel's monotonic stamps become times of day by how long ago they were.
system_clock::time_point time_of(uint64_t stamp_ns) {
  const auto age = std::chrono::steady_clock::now().time_since_epoch() - std::chrono::nanoseconds(stamp_ns);
  return system_clock::now() - std::chrono::duration_cast<system_clock::duration>(age);
}

int on_closed(void* flows, void* data, size_t size) {
  if (size != sizeof(leat_flow_event)) return 0;
  leat_flow_event event;
  std::memcpy(&event, data, sizeof event);
  DirectFlow flow = from_record(event.flow);
  flow.socket_cookie = event.socket;
  flow.client = {from_leat_ip(event.client), static_cast<uint16_t>(event.client_port)};
  flow.bytes_sent = event.bytes_sent;
  flow.bytes_received = event.bytes_received;
  flow.closed = time_of(event.now_ns);
  flow.error = static_cast<int>(event.error);
  flow.established = event.tcp_state != BPF_TCP_SYN_SENT;
  static_cast<std::vector<DirectFlow>*>(flows)->push_back(std::move(flow));
  return 0;
}

}  // namespace

DirectFlow from_record(const leat_flow& record) {
  return {.client_pod = record.client_pod,
          .backend_pod = record.backend_pod,
          .alias_id = record.alias,
          .requested = {from_leat_ip(record.requested), record.requested_port},
          .backend = {from_leat_ip(record.backend), record.backend_port},
          .opened = time_of(record.started_ns)};
}

void ClosedFlows::RingDeleter::operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
ClosedFlows::ClosedFlows() : closed_(std::make_unique<std::vector<DirectFlow>>()) {}
ClosedFlows::ClosedFlows(ClosedFlows&&) noexcept = default;
ClosedFlows::~ClosedFlows() = default;

Result<ClosedFlows> ClosedFlows::open(const std::string& maps_folder) {
  ClosedFlows flows;
  const UniqueFd map(bpf_obj_get((maps_folder + "/closed_flows").c_str()));
  flows.ring_.reset(ring_buffer__new(map.get(), on_closed, flows.closed_.get(), nullptr));
  if (!flows.ring_) return fail_errno(errno, "opening the ring buffer of closed flows");
  return flows;
}

int ClosedFlows::fd() const { return ring_buffer__epoll_fd(ring_.get()); }

std::vector<DirectFlow> ClosedFlows::take() {
  ring_buffer__consume(ring_.get());
  return std::exchange(*closed_, {});
}

}  // namespace leat::capture
