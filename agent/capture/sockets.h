// The sockets that the agent makes inside pods' network namespaces. The calling thread is in the right namespace
// already (netns.h).
#pragma once

#include "bpf/types.h"
#include "common/result.h"
#include "common/unique_fd.h"
#include "leat.pb.h"

namespace leat::capture {

// A listener of one role and family, listening, marked so that everything accepted from it is known as the proxy's.
Result<UniqueFd> make_listener(v1::ListenerRole role, bool ipv6, uint32_t pod_index, int marks_fd);

// A socket for the proxy to dial with: non-blocking, unbound, marked {broker, pod}.
Result<UniqueFd> make_broker_socket(bool ipv6, uint32_t pod_index, int marks_fd);

Result<uint64_t> socket_cookie(int socket);

// The backlog that the kernel really gave a listener: the namespace's somaxconn may be lower than asked for.
uint32_t listen_backlog(int listener);

}  // namespace leat::capture
