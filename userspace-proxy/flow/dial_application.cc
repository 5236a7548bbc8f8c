#include "userspace-proxy/flow/dial_application.h"

#include "userspace-proxy/flow/dial.h"
#include "userspace-proxy/flow/worker.h"
#include "userspace-proxy/mesh/alias.h"

namespace leat::proxy {

ring::Task<Outcome<Application>> dial_application(Worker& worker, const FlowRecord& record,
                                                  ring::Clock::time_point deadline) {
  Application application;
  std::optional<uint32_t> id = worker.mesh()->alias_of(record.client.ip);
  if (!id) {
    Outcome<SourceIds::Lease> lease = co_await worker.source_ids.lease(record.client.ip, *record.destination, deadline);
    if (!lease) co_return std::unexpected(lease.error());
    application.source_id = std::move(*lease);
    id = application.source_id.id();
  }
  const IpAddress source = source_alias(*id, !record.server.ip.is_v4());
  Outcome<ring::Socket> socket = co_await dial_socket(worker, *record.destination, record.server, source, deadline);
  if (!socket) co_return std::unexpected(socket.error());
  application.socket = std::move(*socket);
  co_return application;
}

}  // namespace leat::proxy
