// Kernel-direct connections that have closed, as sockops left them in the ring buffer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/capture/capture.h"
#include "bpf/types.h"

struct ring_buffer;

namespace leat::capture {

// What the record of a direct flow says of it; the rest is the socket's to say.
DirectFlow from_record(const leat_flow& record);

class ClosedFlows {
 public:
  static Result<ClosedFlows> open(const std::string& maps_folder);
  ClosedFlows(ClosedFlows&&) noexcept;
  ~ClosedFlows();

  std::vector<DirectFlow> take();
  [[nodiscard]] int fd() const;  // readable (epoll) when there are some

 private:
  struct RingDeleter {
    void operator()(ring_buffer* ring) const;
  };
  ClosedFlows();

  std::unique_ptr<std::vector<DirectFlow>> closed_;  // the ring's callback holds its address
  std::unique_ptr<ring_buffer, RingDeleter> ring_;
};

}  // namespace leat::capture
