// userspace-proxy/scrape: what the network may ask of a node: metrics, health. A thread of its own puts together what
// the workers, the control thread and the agent have counted, and serves it, so that no connection of a pod waits for a
// scrape. It is bounded in connections, memory and time, and never touches a pod's bytes.
//
// This file: what an asker's headers say of the form of an answer. Pure.
#pragma once

#include <string_view>

#include "common/exposition.h"

namespace leat::proxy::scrape {

// By the Accept header: OpenMetrics 1.0 where it is wanted at least as much as text.
ExpositionFormat choose_format(std::string_view accept);

// By the Accept-Encoding header.
bool accepts_gzip(std::string_view accept_encoding);

}  // namespace leat::proxy::scrape
