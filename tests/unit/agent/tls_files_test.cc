// Files of certificates: which may be read, what is said of the others, and what becomes of one that changes.
#include "agent/tls_files.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "agent/limits.h"
#include "tests/unit/agent/temporary_folder.h"

namespace leat::agent {
namespace {

namespace fs = std::filesystem;

void write(const std::string& path, const std::string& content) { std::ofstream(path) << content; }

struct Files {
  TemporaryFolder temporary;
  std::string folder = temporary.path + "/allowed";
  std::unique_ptr<EventLoop> loop = *EventLoop::make();
  std::map<std::string, control::TlsFile> news;
  TlsFiles files{*loop, folder, [this](std::vector<control::TlsFile> changed) {
                   for (control::TlsFile& file : changed) news.insert_or_assign(file.meta.name.name, std::move(file));
                 }};
  Files() { fs::create_directory(folder); }

  [[nodiscard]] std::string path(const std::string& name) const { return folder + "/" + name; }
  std::string problem_of(const std::string& file) {
    const auto difference = files.want({file});
    REQUIRE(difference.read.size() == 1);
    CHECK(difference.read[0].meta.name.name == file);
    CHECK(difference.read[0].content.empty());
    return difference.read[0].problem;
  }
};

TEST_CASE("a file below the folder is read when it is named, once, and forgotten when it is not") {
  Files node;
  write(node.path("ca.pem"), "certificates");
  auto difference = node.files.want({node.path("ca.pem")});
  REQUIRE(difference.read.size() == 1);
  CHECK(difference.read[0].meta.name.name == node.path("ca.pem"));
  CHECK(difference.read[0].content == "certificates");
  CHECK(difference.read[0].problem.empty());
  CHECK(node.files.want({node.path("ca.pem")}).read.empty());
  CHECK(node.files.want({}).forgotten == std::vector{node.path("ca.pem")});
}

TEST_CASE("a link is followed as long as it stays below the folder") {
  Files node;
  fs::create_directory(node.path("..data"));
  write(node.path("..data/ca.pem"), "certificates");
  fs::create_symlink("..data/ca.pem", node.path("ca.pem"));
  CHECK(node.files.want({node.path("ca.pem")}).read.at(0).content == "certificates");
  write(node.temporary.path + "/shadow", "secret of the machine");
  fs::create_symlink("../shadow", node.path("link"));
  CHECK(node.problem_of(node.path("link")) == "is not below " + node.folder + ", the folder of tls_files");
}

TEST_CASE("a file that can't be read has no content, and says why") {
  Files node;
  CHECK(node.problem_of(node.path("missing")) == "No such file or directory");
  fs::create_directory(node.path("folder"));
  CHECK(node.problem_of(node.path("folder")) == "is no regular file");
  REQUIRE(::mkfifo(node.path("pipe").c_str(), 0600) == 0);
  CHECK(node.problem_of(node.path("pipe")) == "is no regular file");  // and nobody waits for a writer
  write(node.path("empty"), "");
  CHECK(node.problem_of(node.path("empty")) == "is empty");
  write(node.path("huge"), std::string(limits::kTlsFileBytes + 1, 'x'));
  CHECK(node.problem_of(node.path("huge")) == "has more than 512 KiB");
  const std::string outside = node.temporary.path + "/outside";
  write(outside, "x");
  CHECK(node.problem_of(outside) == "is not below " + node.folder + ", the folder of tls_files");
  CHECK(node.problem_of(node.path("../outside")) == "is not below " + node.folder + ", the folder of tls_files");
  CHECK(node.problem_of(node.folder + "-not/x") == "No such file or directory");
}

TEST_CASE("without a folder no file is read") {
  const auto loop = *EventLoop::make();
  TlsFiles files(*loop, "", [](std::vector<control::TlsFile>) {});
  const auto difference = files.want({"/etc/hostname"});
  REQUIRE(difference.read.size() == 1);
  CHECK(difference.read[0].content.empty());
  CHECK(difference.read[0].problem == "no file is read: set tls_files in the agent's configuration");
}

TEST_CASE("a file that changes or comes is news; one that goes, and one that stays, are none") {
  Files node;
  for (const char* name : {"changes", "renamed over", "goes", "stays"}) write(node.path(name), "old");
  node.files.want(
      {node.path("changes"), node.path("renamed over"), node.path("goes"), node.path("stays"), node.path("comes")});
  write(node.path("changes"), "new, by writing");
  write(node.path("next"), "new, by renaming");
  fs::rename(node.path("next"), node.path("renamed over"));
  fs::remove(node.path("goes"));
  write(node.path("comes"), "new");
  const auto deadline = EventLoop::Clock::now() + 4 * limits::kTlsFileLook;
  while (node.news.empty() && EventLoop::Clock::now() < deadline) node.loop->run_once(limits::kTlsFileLook);
  REQUIRE(node.news.size() == 3);
  CHECK(node.news.at(node.path("changes")).content == "new, by writing");
  CHECK(node.news.at(node.path("renamed over")).content == "new, by renaming");
  CHECK(node.news.at(node.path("comes")).content == "new");
}

}  // namespace
}  // namespace leat::agent
