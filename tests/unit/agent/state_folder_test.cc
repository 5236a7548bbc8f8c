#include "agent/state_folder.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "temporary_folder.h"

using leat::agent::StateFolder;
using leat::agent::TemporaryFolder;

namespace {
const auto kNoWait = [] { FAIL("the lock is free"); };
}  // namespace

TEST_CASE("a file is read back as it was written, and one that was never written is nothing") {
  TemporaryFolder folder;
  const auto state = StateFolder::open(folder.path + "/new", kNoWait);
  REQUIRE(state);
  CHECK(*state->read("a") == std::nullopt);
  const std::string text(100'000, 'x');
  REQUIRE(state->write("a", text));
  CHECK(*state->read("a") == text);
  REQUIRE(state->write("a", ""));
  CHECK(*state->read("a") == "");
  struct stat status{};
  REQUIRE(stat((folder.path + "/new/a").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("a second agent waits until the first has left") {
  TemporaryFolder folder;
  int said[2];
  REQUIRE(pipe(said) == 0);
  auto first = StateFolder::open(folder.path, kNoWait);
  REQUIRE(first);
  const pid_t child = fork();
  if (child == 0) {
    {
      const StateFolder copy = std::move(*first);
    }  // or the child itself would hold what it waits for
    const auto second = StateFolder::open(folder.path, [&] { (void)!write(said[1], "w", 1); });
    (void)!write(said[1], second ? "o" : "e", 1);
    _exit(0);
  }
  char byte = 0;
  REQUIRE(read(said[0], &byte, 1) == 1);
  CHECK(byte == 'w');
  {
    const StateFolder gone = std::move(*first);
  }
  REQUIRE(read(said[0], &byte, 1) == 1);
  CHECK(byte == 'o');
  waitpid(child, nullptr, 0);
  close(said[0]);
  close(said[1]);
}
