#include "agent/seccomp_profile.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <doctest/doctest.h>

#include "temporary_folder.h"

using namespace leat::agent;

namespace {

std::string content(const std::string& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace

TEST_CASE("the profile is where the kubelet looks for it, is renewed, and goes again with its folder") {
  TemporaryFolder folder;
  const std::string source = folder.path + "/image.json", target = folder.path + "/seccomp/leat/proxy.json";
  CHECK_FALSE(install_seccomp_profile(target, source));
  CHECK_FALSE(std::filesystem::exists(target));
  for (const std::string text : {"{}", "{\"a\": 1}"}) {
    std::ofstream(source) << text;
    REQUIRE(install_seccomp_profile(target, source));
    CHECK(content(target) == text);
  }
  remove_seccomp_profile(target);
  CHECK_FALSE(std::filesystem::exists(folder.path + "/seccomp/leat"));
  CHECK(std::filesystem::exists(folder.path + "/seccomp"));
}
