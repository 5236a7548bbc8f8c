// The TLS credentials of this node's pods, by service account, as one worker sees them. Certificates are made and
// renewed elsewhere (certificates.h); a connection keeps what it began with. One a worker.
#pragma once

#include <string>
#include <unordered_map>

#include "userspace-proxy/flow/outcome.h"
#include "userspace-proxy/flow/wait_queue.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/ring/task.h"
#include "userspace-proxy/tls/credentials.h"

namespace leat::proxy {

class Identities {
 public:
  explicit Identities(ring::Loop& loop) : loop_(loop) {}

  // The pod's credentials; waits for the first ones of a service account, kNoCertificate at `deadline`.
  ring::Task<Outcome<tls::CredentialsPtr>> credentials(const Workload& pod, ring::Clock::time_point deadline);
  // New or renewed credentials; null: they have expired, or the service account has no pod here any more.
  void set(const std::string& ns, const std::string& service_account, tls::CredentialsPtr credentials);

 private:
  struct Entry {
    tls::CredentialsPtr credentials;
    WaitQueue waiting;
  };
  ring::Loop& loop_;
  std::unordered_map<std::string, Entry> entries_;  // by namespace/service account
};

}  // namespace leat::proxy
