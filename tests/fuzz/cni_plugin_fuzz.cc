// What a container runtime gives leat-cni: the configuration on standard input, and the pod's arguments.
#include <cstdint>
#include <string>
#include <string_view>

#include "cni/environment.h"
#include "cni/network_config.h"
#include "common/enrolled_namespaces.h"

using namespace leat::cni;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto config = read_network_config(text)) {
    (void)is_at_least(config->cni_version, "1.1.0");
    // That it is handed on as it came is unit tests' matter: with a key that stands twice, readers differ in what it
    // says.
    if (config->prev_result) (void)chained_result(*config);
  }
  (void)load_enrolled_namespaces(text);
  const size_t half = size / 2;
  (void)read_environment([&](const char* name) -> std::string {
    if (std::string_view(name) == "CNI_COMMAND") return "ADD";
    return std::string(std::string_view(name) == "CNI_ARGS" ? text.substr(half) : text.substr(0, half));
  });
  return 0;
}
