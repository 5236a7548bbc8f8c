#include "control/workload_model.h"

namespace leat::control {

void fill_workload(const LivePod& live, const PodMtls& mtls, const LocalityName& place, const Standing& standing,
                   v1::Workload& workload) {
  const Pod& pod = *live.pod;
  workload.set_uid(live.uid());
  workload.set_namespace_(pod.meta.name.ns);
  workload.set_name(pod.meta.name.name);
  workload.set_service_account(pod.service_account);
  workload.set_node(pod.node);
  workload.set_region(place.region);
  workload.set_zone(place.zone);
  workload.set_subzone(place.subzone);
  for (const IpAddress& address : live.addresses()) workload.add_addresses(address.wire());
  workload.mutable_labels()->insert(pod.meta.labels.begin(), pod.meta.labels.end());
  workload.set_owner(pod.meta.owner.empty() ? pod.meta.name.name : pod.meta.owner);
  workload.set_captured(standing.captured);
  workload.set_local(standing.local);
  workload.set_ready(live.ready());
  workload.set_terminating(pod.meta.terminating);
  workload.set_mtls(mtls.mode);
  for (const auto& [port, mode] : mtls.ports) (*workload.mutable_port_mtls())[port] = mode;
  workload.set_pod_index(standing.slot);
}

}  // namespace leat::control
