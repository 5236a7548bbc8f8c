// One question to the API server and one answer, as a value: what every caller of ApiClient that does not watch wants.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "common/kubernetes/api_client.h"
#include "common/result.h"

namespace leat::kubernetes {

template <typename T>
using Done = std::function<void(Result<T>)>;

// Any answer but 200 and 201 is an error, with the server's own sentence. kNotFound, kConflict (409, also of something
// that is there already), kDenied (401, 403), kInvalid (422), kTimeout (none came), else kRefused.
void ask(ApiClient& client, ApiClient::Request request, Done<ApiClient::Answer> done);

// Now, or so long after it, as MicroTime fields have it: 2026-03-01T12:00:00.000000Z. The order of texts is that of
// times.
std::string micro_time(std::chrono::seconds after = {});

}  // namespace leat::kubernetes
