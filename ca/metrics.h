// What leat-ca counts, in Prometheus' text form.
#pragma once

#include <string>

#include "ca/root_keeper.h"
#include "ca/signing.h"

namespace leat::ca {

std::string metrics_text(const RootKeeper& keeper, const Signing& signing);

}  // namespace leat::ca
