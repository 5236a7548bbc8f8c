// The system's CA certificates, for a process that may open no file once it is sealed.
#pragma once

#include "common/openssl.h"
#include "common/result.h"

namespace leat::tls {

// Opens the system's bundle, once, before the process is sealed. Where there is none, system_roots() fails.
void open_system_roots();

// All of them; read at the first call (some 20 ms), shared afterwards. Any thread. A bundle that is replaced meanwhile
// is read by the next process.
Result<X509_STORE*> system_roots();

}  // namespace leat::tls
