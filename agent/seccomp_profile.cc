#include "agent/seccomp_profile.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

namespace leat::agent {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> content_of(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

}  // namespace

Result<void> install_seccomp_profile(const std::string& target, const std::string& profile) {
  const auto wanted = content_of(profile);
  if (!wanted) return fail(ErrorCode::kNotFound, "{} can't be read; it is in the agent's image", profile);
  if (content_of(target) == wanted) return {};
  std::error_code error;
  fs::create_directories(fs::path(target).parent_path(), error);
  if (error) return fail_errno(error.value(), "making the folder of {}", target);
  const std::string fresh = target + ".new";
  if (!(std::ofstream(fresh, std::ios::binary | std::ios::trunc) << *wanted << std::flush))
    return fail(ErrorCode::kSystem, "{} can't be written", fresh);
  fs::rename(fresh, target, error);
  if (error) return fail_errno(error.value(), "renaming {} to {}", fresh, target);
  return {};
}

void remove_seccomp_profile(const std::string& target) {
  std::error_code ignored;
  fs::remove(target, ignored);
  fs::remove(fs::path(target).parent_path(), ignored);  // refused where something else is in there
}

}  // namespace leat::agent
