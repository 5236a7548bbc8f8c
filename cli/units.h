// Numbers as people read them in a table. JSON output has the raw ones.
#pragma once

#include <cstdint>
#include <string>

namespace leat::cli {

// 0 B, 999 B, 61 KiB, 4.2 MiB: two digits at least, four characters at most.
std::string humanise_bytes(uint64_t bytes);
// 340ms, 8s, 12m, 5h, 3d; "0s" for what lies in the future.
std::string humanise_ms(int64_t ms);

}  // namespace leat::cli
