#include "userspace-proxy/flow/identities.h"

namespace leat::proxy {

ring::Task<Outcome<tls::CredentialsPtr>> Identities::credentials(const Workload& pod,
                                                                 ring::Clock::time_point deadline) {
  Entry& entry = entries_[pod.namespace_ + "/" + pod.service_account];
  if (!entry.credentials) static_cast<void>(co_await entry.waiting.wait(loop_, deadline));
  if (!entry.credentials) co_return std::unexpected(Reason::kNoCertificate);
  co_return entry.credentials;
}

void Identities::set(const std::string& ns, const std::string& service_account, tls::CredentialsPtr credentials) {
  Entry& entry = entries_[ns + "/" + service_account];
  entry.credentials = std::move(credentials);
  if (entry.credentials) entry.waiting.wake_all();
}

}  // namespace leat::proxy
