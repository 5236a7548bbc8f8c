#include "userspace-proxy/flow/policy.h"

namespace leat::proxy {

Reason decide(const PolicyQuestion& question) {
  const bool strict = question.destination.mtls_at(question.port) == v1::MTLS_STRICT;
  if (strict && question.client == nullptr) return Reason::kPlaintextDenied;
  return Reason::kNone;
}

}  // namespace leat::proxy
