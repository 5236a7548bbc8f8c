#include "userspace-proxy/heartbeat.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace leat::proxy {

TEST_CASE("a heartbeat is as old as the worker that is furthest behind, and nothing before the first beat") {
  Heartbeat heartbeat;
  CHECK(heartbeat.oldest() == std::chrono::milliseconds(0));
  const pid_t child = fork();
  if (child == 0) {
    heartbeat.beat(1);
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  usleep(3'000);  // time itself is what is measured
  CHECK(heartbeat.oldest() >= std::chrono::milliseconds(2));
  heartbeat.forget();
  CHECK(heartbeat.oldest() == std::chrono::milliseconds(0));
}

}  // namespace leat::proxy
