// Where a request goes: the routes of the Service that its client asked for, as they are now.
#pragma once

#include "userspace-proxy/balance/hash_key.h"
#include "userspace-proxy/flow/outcome.h"
#include "userspace-proxy/http1/head.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/telemetry/flow_table.h"

namespace leat::proxy {

class Worker;

// The worker's mesh may be another one by the time that this is used, so what it points into is held.
struct ChosenTarget {
  ServiceRef asked;                                 // that the client asked for; `route` lives in it
  const route::Route* route = nullptr;              // null: no table holds for the client
  route::MatchedPath matched_path;                  // of the request's; beyond its end: all of it
  const route::Destination* destination = nullptr;  // of `route`; null where that answers by itself
  ServiceRef service;                               // whose endpoints it is
  const Service::Port* port = nullptr;              // of `service`; null as `destination`
  HashKey hash;
  bool last = false;  // this node's mesh has no such destination any more: the client had better connect anew
};

// Shows the Service in `record`, whose client sends `request` to `alias`.
Outcome<ChosenTarget> choose_target(Worker& worker, FlowRecord& record, const http1::RequestHead& request,
                                    const IpAddress& alias);

}  // namespace leat::proxy
