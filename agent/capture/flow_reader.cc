#include "agent/capture/flow_reader.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <array>

#include "agent/capture/tables.h"

namespace leat::capture {

namespace {

using std::chrono::system_clock;

// The kernel's monotonic stamps become times of day by how long ago they were.
system_clock::time_point time_of(uint64_t stamp_ns) {
  const auto age = std::chrono::steady_clock::now().time_since_epoch() - std::chrono::nanoseconds(stamp_ns);
  return system_clock::now() - std::chrono::duration_cast<system_clock::duration>(age);
}

DirectFlow to_flow(const leat_flow_event& event) {
  return {.socket_cookie = event.socket,
          .client_pod = event.flow.client_pod,
          .backend_pod = event.flow.backend_pod,
          .alias_id = event.flow.alias,
          .client = {from_leat_ip(event.client), static_cast<uint16_t>(event.client_port)},
          .requested = {from_leat_ip(event.flow.requested), event.flow.requested_port},
          .backend = {from_leat_ip(event.flow.backend), event.flow.backend_port},
          .bytes_sent = event.bytes_sent,
          .bytes_received = event.bytes_received,
          .opened = time_of(event.flow.started_ns),
          .closed = {},
          .error = static_cast<int>(event.error),
          .established = event.tcp_state != BPF_TCP_SYN_SENT};
}

int on_closed(void* flows, void* data, size_t size) {
  if (size != sizeof(leat_flow_event)) return 0;
  leat_flow_event event;
  std::memcpy(&event, data, sizeof event);
  DirectFlow flow = to_flow(event);
  flow.closed = time_of(event.now_ns);
  static_cast<std::vector<DirectFlow>*>(flows)->push_back(std::move(flow));
  return 0;
}

}  // namespace

void FlowReader::RingDeleter::operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
FlowReader::FlowReader(BpfMap<int, leat_flow> records, int iterator_program_fd)
    : records_(std::move(records)),
      iterator_program_fd_(iterator_program_fd),
      closed_(std::make_unique<std::vector<DirectFlow>>()) {}
FlowReader::FlowReader(FlowReader&&) noexcept = default;
FlowReader::~FlowReader() = default;

Result<FlowReader> FlowReader::open(const std::string& maps_folder, int iterator_program_fd) {
  LEAT_TRY(auto records, (BpfMap<int, leat_flow>::open(maps_folder, "flows")));
  FlowReader reader(std::move(records), iterator_program_fd);
  const UniqueFd ring_map(bpf_obj_get((maps_folder + "/closed_flows").c_str()));
  reader.ring_.reset(ring_buffer__new(ring_map.get(), on_closed, reader.closed_.get(), nullptr));
  if (!reader.ring_) return fail_errno(errno, "opening the ring buffer of closed flows");
  return reader;
}

Result<std::vector<DirectFlow>> FlowReader::open_flows() {
  bpf_iter_link_info target{};
  target.map.map_fd = static_cast<uint32_t>(records_.fd());
  LIBBPF_OPTS(bpf_link_create_opts, link_options, .iter_info = &target, .iter_info_len = sizeof target);
  const UniqueFd link(bpf_link_create(iterator_program_fd_, 0, BPF_TRACE_ITER, &link_options));
  if (!link) return fail_errno(errno, "making the iterator over direct flows");
  const UniqueFd iterator(bpf_iter_create(link.get()));
  if (!iterator) return fail_errno(errno, "starting the iterator over direct flows");

  std::vector<DirectFlow> flows;
  std::array<char, 256 * sizeof(leat_flow_event)> buffer;
  size_t filled = 0;
  for (;;) {
    const ssize_t got = read(iterator.get(), buffer.data() + filled, buffer.size() - filled);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return fail_errno(errno, "reading direct flows");
    if (got == 0) return flows;
    filled += static_cast<size_t>(got);
    size_t at = 0;
    for (; filled - at >= sizeof(leat_flow_event); at += sizeof(leat_flow_event)) {
      leat_flow_event event;
      std::memcpy(&event, buffer.data() + at, sizeof event);
      flows.push_back(to_flow(event));
    }
    std::memmove(buffer.data(), buffer.data() + at, filled - at);
    filled -= at;
  }
}

int FlowReader::closed_fd() const { return ring_buffer__epoll_fd(ring_.get()); }

std::vector<DirectFlow> FlowReader::take_closed() {
  ring_buffer__consume(ring_.get());
  return std::exchange(*closed_, {});
}

}  // namespace leat::capture
