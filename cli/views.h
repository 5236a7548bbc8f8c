// Everything that `leat` lists besides flows: as a table, and as JSON with the same facts.
#pragma once

#include <cstdint>
#include <string_view>

#include "cli/output.h"
#include "leat.pb.h"

namespace leat::cli {

struct View {
  Table table;
  Json list;
};

View pods_view(const v1::ApiReply& reply, bool wide, int64_t now_ms);
// `ns`: only of this namespace; empty: all.
View services_view(const v1::ApiReply& reply, bool wide, std::string_view ns = {});
View certificates_view(const v1::ApiReply& reply, bool wide, int64_t now_ms);
View check_view(const v1::ApiReply& reply);
View counters_view(const v1::ApiReply& reply);
View version_view(const v1::VersionInfo& agent);

}  // namespace leat::cli
