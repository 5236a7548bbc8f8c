// One netlink request and its replies, in the calling thread's network namespace.
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <functional>

#include "common/result.h"

namespace leat::capture {

// Sends `request` (complete, with its length) and calls `each` for every reply until the acknowledgement, error or end
// of the dump.
Result<void> netlink_request(int protocol, const nlmsghdr* request, const std::function<void(const nlmsghdr&)>& each);

template <typename Visit>
void for_each_attribute(const rtattr* attribute, size_t size_bytes, Visit visit) {
  auto left = static_cast<int>(size_bytes);
  // The macros of linux/rtnetlink.h take pointers to mutable, and change nothing.
  for (auto* at = const_cast<rtattr*>(attribute); RTA_OK(at, left); at = RTA_NEXT(at, left)) visit(*at);
}

}  // namespace leat::capture
