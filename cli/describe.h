// `leat describe pod|svc`: what happens to this pod's or Service's traffic, and why, in sentences. Pure: made of the
// same facts that `pods`, `services`, `routes`, `certs` and `flows` list, in their JSON form.
#pragma once

#include <cstdint>
#include <string>

#include "cli/output.h"
#include "common/result.h"

namespace leat::cli {

struct Facts {
  Json pods, services, routes, certificates, flows;  // arrays
};

// `name`: NAME or NAMESPACE/NAME. kNotFound: there is none, or kInvalid: several namespaces have one, and which.
Result<std::string> describe_pod(const Facts& facts, const std::string& ns, const std::string& name, int64_t now_ms);
Result<std::string> describe_service(const Facts& facts, const std::string& ns, const std::string& name);

}  // namespace leat::cli
