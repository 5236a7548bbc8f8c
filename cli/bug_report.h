// `leat bug-report`: a folder with everything that a person who was not there wants to know, and an archive of it. It
// holds names, addresses, counters and logs, and no key or token.
#pragma once

#include <string>

#include "cli/target.h"
#include "common/result.h"

namespace leat::cli {

// `folder` is made; the path of what is to be sent: FOLDER.tar.gz, or the folder where there is no tar.
Result<std::string> bug_report(const Target& target, const std::string& folder);

}  // namespace leat::cli
