// io_uring as the kernel has it, where the liburing that we build with (2.3) is behind: newer constants, and two calls
// that its header declares and its library does not export. Numbers from the kernel's user-space ABI.
#pragma once

#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <span>

namespace leat::ring::abi {

inline constexpr uint32_t kFeatureBundle = 1u << 14;  // IORING_FEAT_RECVSEND_BUNDLE, Linux 6.10
inline constexpr uint16_t kReceiveBundle = 1u << 4;  // IORING_RECVSEND_BUNDLE: one completion, several provided buffers

// All: 0 or a negative errno, like liburing's own.
inline int register_call(const io_uring& ring, unsigned what, void* argument, size_t count) {
  const long result = ::syscall(__NR_io_uring_register, ring.ring_fd, what, argument, static_cast<unsigned>(count));
  return result < 0 ? -errno : static_cast<int>(result);
}
inline int register_restrictions(const io_uring& ring, std::span<io_uring_restriction> rules) {
  return register_call(ring, IORING_REGISTER_RESTRICTIONS, rules.data(), rules.size());
}
inline int enable_rings(const io_uring& ring) { return register_call(ring, IORING_REGISTER_ENABLE_RINGS, nullptr, 0); }

}  // namespace leat::ring::abi
