// A request or connection as one line of the access log.
#pragma once

#include <string>

#include "common/access_log_format.h"
#include "userspace-proxy/telemetry/observed_request.h"

namespace leat::proxy {

// Appends one line, its end with it. What a client sent can't end the line nor leave its place in it: control
// characters, quotes and backslashes are escaped.
void append_log_line(const LogFormat& format, const ObservedRequest& request, std::string& out);

}  // namespace leat::proxy
