// Taking Leat out of a node's kernel, and proving that it is gone.
#include <sys/stat.h>

#include <filesystem>

#include "agent/capture/bpf_map.h"
#include "agent/capture/capture.h"
#include "agent/capture/cgroup.h"
#include "agent/capture/netns.h"
#include "agent/capture/programs.h"
#include "bpf/types.h"

namespace leat::capture {

namespace {

// Every namespace that was ever enrolled and still is where it was.
std::vector<std::string> namespaces_to_clean(const Options& options) {
  std::vector<std::string> paths;
  const auto namespaces = BpfMap<uint64_t, leat_namespace>::open(maps_folder(options), "namespaces");
  if (!namespaces) return paths;
  for (const auto& [cookie, home] : namespaces->rows()) {
    const auto inside = NetnsScope::enter(home.path);
    const auto found = inside ? current_netns_cookie() : Result<uint64_t>(0);
    if (found && *found == cookie) paths.emplace_back(home.path);
  }
  return paths;
}

Result<void> clean_namespace(const std::string& path) {
  LEAT_TRY(const NetnsScope inside, NetnsScope::enter(path));
  LEAT_TRY_VOID(remove_alias_route());
  LEAT_TRY(const bool left, has_alias_route());
  if (left) return fail(ErrorCode::kSystem, "the IPv6 alias route is still in {}", path);
  return {};
}

}  // namespace

Result<void> uninstall(const Options& options) {
  std::vector<Error> errors;
  const auto paths = namespaces_to_clean(options);
  std::error_code ignored;
  if (std::filesystem::exists(options.bpffs, ignored)) errors = remove_all_pins(options);
  for (const std::string& path : paths)
    if (auto cleaned = clean_namespace(path); !cleaned) errors.push_back(std::move(cleaned).error());
  if (std::filesystem::exists(options.bpffs, ignored))
    errors.push_back(fail(ErrorCode::kSystem, "{} is still there", options.bpffs).error());
  for (const std::string& left : attached_program_names(options))
    errors.push_back(fail(ErrorCode::kSystem, "{} is still attached", left).error());

  if (errors.empty()) return {};
  std::string all;
  for (const Error& error : errors) all += (all.empty() ? "" : "; ") + error.message;
  return fail(errors.front().code, "not everything could be removed: {}", all);
}

}  // namespace leat::capture
