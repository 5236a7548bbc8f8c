// Names of ServiceEntries that have to be resolved, and what came of it. The agent resolves and puts the answers among
// the objects; here they are data like others.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"
#include "control/reads.h"

namespace leat::control {

// What must be resolved for these objects.
std::set<std::string> hosts_to_resolve(const ObjectSet& objects);

// The entry's host stands for its own addresses: it names none, and its host can be resolved.
bool is_found_by_name(const ServiceEntry& entry, const std::string& host);

// Of a host, in the order of the answer; none where it was not resolved (yet), which `problem` tells of if it failed.
std::vector<IpAddress> answer_of(const View& objects, const std::string& host, std::string* problem);

}  // namespace leat::control
