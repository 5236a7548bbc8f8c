// The command as scripts see it: exit codes, and what goes to stdout and stderr.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

namespace {

struct Ran {
  int code = 0;
  std::string output;
};

Ran run(const std::string& words) {
  FILE* pipe = ::popen((LEAT_BINARY " " + words).c_str(), "r");
  REQUIRE(pipe != nullptr);
  Ran ran;
  std::array<char, 4096> buffer;
  while (const size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe)) ran.output.append(buffer.data(), got);
  ran.code = WEXITSTATUS(::pclose(pipe));
  return ran;
}

}  // namespace

TEST_CASE("wrong usage is exit code 2, with the way to the help on stderr") {
  for (const char* words : {"no-such-command", "flows --no-such-option", "flows -o xml", "lint", "completion tcsh"}) {
    CAPTURE(words);
    const Ran ran = run(std::string(words) + " 2>&1 >/dev/null");
    CHECK(ran.code == 2);
    CHECK(ran.output.contains("cure: see leat --help"));
  }
  const Ran alone = run("2>&1 >/dev/null");
  CHECK(alone.code == 2);
  CHECK(alone.output.contains("dashboard"));  // all commands are listed
  CHECK(run("--agent /nowhere flows --since soon 2>/dev/null").code == 2);
  CHECK(run("--agent /nowhere flows -f -o json 2>/dev/null").code == 2);
}

TEST_CASE("without an agent the exit code is 3, and stderr names the socket and the cure") {
  for (const char* command : {"flows", "flows -f", "pods", "services", "certs", "check", "metrics", "version"}) {
    CAPTURE(command);
    const Ran ran = run(std::string(command) + " --agent /nowhere/api.sock 2>&1 >/dev/null");
    CHECK(ran.code == 3);
    CHECK(ran.output.contains("/nowhere/api.sock"));
    CHECK(ran.output.contains("cure:"));
  }
  CHECK(run("version --client").output.starts_with("leat"));
}

TEST_CASE("the help of every command starts with an example") {
  CHECK(run("--help").output.starts_with("Example:\n  leat "));
  for (const char* command :
       {"flows", "pods", "services", "certs", "check", "metrics", "lint", "version", "uninstall", "completion"}) {
    CAPTURE(command);
    const Ran ran = run(std::string(command) + " --help");
    CHECK(ran.code == 0);
    CHECK(ran.output.starts_with("Example:\n  "));
    CHECK(ran.output.contains(std::string("leat ") + command));
  }
}

TEST_CASE("uninstall needs to know where the agent keeps its things") {
  CHECK(run("uninstall 2>/dev/null").code == 2);
  const Ran ran = run("uninstall --config /nowhere/agent.yaml 2>&1 >/dev/null");
  CHECK(ran.code == 1);
  CHECK(ran.output.contains("/nowhere/agent.yaml"));
}

TEST_CASE("lint reads stdin, and its exit code says whether there are errors") {
  CHECK(run("lint - < /dev/null").code == 0);
  const Ran ran = run("lint - <<'E'\nkind: Pod\nE");
  CHECK(ran.code == 1);
  CHECK(ran.output.starts_with("stdin:1   error   Pod "));
}

TEST_CASE("the completion of bash completes commands and options") {
  const std::string script = "source /dev/stdin <<<\"$(" LEAT_BINARY " completion bash)\"; ";
  const auto complete = [&script](const std::string& words, int current) {
    FILE* pipe = ::popen(("bash -c '" + script + "COMP_WORDS=(" + words + "); COMP_CWORD=" + std::to_string(current) +
                          "; _leat; echo ${COMPREPLY[*]}'")
                             .c_str(),
                         "r");
    std::array<char, 1024> line{};
    const bool read = std::fgets(line.data(), line.size(), pipe) != nullptr;
    ::pclose(pipe);
    return read ? std::string(line.data()) : "";
  };
  CHECK(complete("leat ce", 1) == "certs\n");
  CHECK(complete("leat flows --clo", 2) == "--closed\n");
  CHECK(complete("leat flows -o js", 3) == "json jsonl\n");
}
