// What DestinationRules may name for TLS to servers outside the mesh: Secrets, and files that the agent has read.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"
#include "control/reads.h"
#include "leat.pb.h"

namespace leat::control {

// The files that rules name.
std::set<std::string> tls_files(const ObjectSet& objects);

// Another content has another key, so that what uses it is seen to change.
std::string key_of(const Secret& secret);

// Those files together as one secret, under its key; empty: it names none. `problems`: of those that can't be read.
v1::TlsSecret secret_of_files(const View& objects, const v1::TlsOrigination& tls, std::vector<std::string>& problems);

// All that rules may name, by key.
std::map<std::string, v1::TlsSecret> tls_secrets(const View& objects);

}  // namespace leat::control
