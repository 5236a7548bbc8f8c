#include "userspace-proxy/flow/inbound_plaintext.h"

#include "common/log.h"
#include "userspace-proxy/flow/dial_application.h"
#include "userspace-proxy/flow/policy.h"
#include "userspace-proxy/flow/worker.h"
#include "userspace-proxy/ring/relay.h"

namespace leat::proxy {

ring::Task<void> inbound_plaintext(Worker& worker, UniqueFd accepted, WorkloadRef pod) {
  FlowRecord record(worker.flows, v1::FLOW_INBOUND);
  ring::Socket client(worker.loop, std::move(accepted));
  record.destination = std::move(pod);
  record.client = client.peer_address();
  record.requested = record.server = client.local_address();
  record.source = worker.mesh()->workload_at(record.client.ip);
  record.security = Security::kPlaintext;

  const PodLimits::Admission admission = worker.pods.admit(*record.destination);
  const Reason denied =
      admission ? decide({.destination = *record.destination, .port = record.server.port, .client = nullptr})
                : Reason::kPodLimit;
  if (denied != Reason::kNone) {
    log::warn("{} -> {}/{} port {} refused: {}", record.client.text(), record.destination->namespace_,
              record.destination->name, record.server.port, sentence(denied));
    client.reset();
    co_return record.fail(denied);
  }

  Outcome<Application> application =
      co_await dial_application(worker, record, worker.loop.now() + worker.connect_timeout());
  if (!application) {
    client.reset();
    co_return record.fail(application.error());
  }
  record.close(co_await ring::relay(client, application->socket, record.bytes));
}

}  // namespace leat::proxy
