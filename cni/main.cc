// leat-cni (error.h): variables and standard input in, a result or an error on standard output.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cni/network_config.h"
#include "cni/plugin.h"

namespace {

using leat::cni::Code;
using leat::cni::Expected;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Expected<std::string> read_input() {
  std::string text;
  char part[16384];
  for (;;) {
    const ssize_t size = read(STDIN_FILENO, part, sizeof part);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return leat::cni::refuse(Code::kIo, "reading standard input", std::strerror(errno));
    if (size == 0) return text;
    text.append(part, static_cast<size_t>(size));
    if (text.size() > leat::cni::kMaxConfigBytes)
      return leat::cni::refuse(Code::kIo, "standard input is longer than 8 MiB: no network configuration");
  }
}

}  // namespace

int main() {
  const auto outcome = leat::cni::run_plugin(variable, read_input);
  std::fputs(outcome.log.c_str(), stderr);
  std::fputs(outcome.out.c_str(), stdout);
  return std::fflush(stdout) == 0 ? outcome.status : 1;
}
