// `tls` of a trafficPolicy: how endpoints are dialled.
#pragma once

#include <optional>

#include "control/field.h"
#include "control/traffic_policy.h"

namespace leat::control {

std::optional<ClientTls> read_client_tls(const Field& field);

}  // namespace leat::control
